"""The runs below one folder: their names, their state, and nothing outside of it."""

from __future__ import annotations

import threading
import time
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from sharpen.core.errors import BadInput, SharpenError
from sharpen.core.records import Record
from sharpen.core.stats import Interval
from sharpen.core.tail import Tail
from sharpen.experiment.manifest import read_manifest
from sharpen.experiment.show import find_runs, read_result
from sharpen.ui.holders import Holders

_FRESH = 1.0
"""Seconds for which a look at the folder holds."""


class State(StrEnum):
    """Where a run stands."""

    RUNNING = "running"
    DONE = "done"
    BUDGET = "budget"
    """Ended by a budget that was used up."""
    UNFINISHED = "unfinished"
    EMPTY = "empty"
    """Nothing is written yet."""
    UNREADABLE = "unreadable"


class Card(Record):
    """A line of the list of runs."""

    name: str
    """Path below the root, which also is how the page asks for the run."""
    state: State
    recipe: str = ""
    model: str = ""
    task: str = ""
    seed: int = 0
    stopped_by: str | None = None
    after: Interval | None = None
    """Score on the sealed test."""
    delta: Interval | None = None
    rows: int = 0
    changed: float = 0.0
    """When its journal last changed, in seconds of the epoch."""
    problem: str = ""
    """Why it cannot be read."""


class Stamp(NamedTuple):
    """When the files of a run changed last, in nanoseconds; 0 for one that is not there, or is empty."""

    journal: int
    log: int
    result: int


class Shelf:
    """Finds runs. Names are looked up among what was found, so that no name leads out of the folder."""

    def __init__(self, root: Path) -> None:
        """`root` holds runs, or folders of runs; BadInput if it is no folder."""
        if not root.is_dir():
            raise BadInput("runs", str(root), "is no folder", remedy="give the folder that holds your runs")
        self.root = root
        self._looking = threading.Lock()
        self._folders: dict[str, Path] = {}
        self._looked = 0.0
        self._cards: dict[str, tuple[Stamp, Card]] = {}

    def folder(self, name: str) -> Path:
        """The folder of a run that was found; BadInput for any other name."""
        found = self._found().get(name) or self._found(anew=True).get(name)
        if found is None:
            raise BadInput("run", name, "there is no such run", remedy="take one of the list")
        return found

    def cards(self) -> list[Card]:
        """Every run, the last changed first."""
        holders = Holders()
        found = [self._card(name, folder, holders) for name, folder in self._found().items()]
        return sorted(found, key=lambda card: (-card.changed, card.name))

    def card(self, name: str) -> Card:
        """One run."""
        return self._card(name, self.folder(name), Holders())

    def _found(self, *, anew: bool = False) -> dict[str, Path]:
        with self._looking:
            if anew or time.monotonic() - self._looked > _FRESH:
                self._folders = find_runs(self.root)
                self._looked = time.monotonic()
            return self._folders

    def _card(self, name: str, folder: Path, holders: Holders) -> Card:
        stamp = stamp_of(folder)
        known, card = self._cards.get(name, (None, Card(name=name, state=State.EMPTY)))
        if known != stamp:
            card = _read(name, folder, stamp)
            self._cards[name] = (stamp, card)
        running = card.state is not State.UNREADABLE and holders.of(folder) is not None
        return card.model_copy(update={"state": State.RUNNING}) if running else card


def stamp_of(folder: Path) -> Stamp:
    """What changes whenever a run's files do; cheap to ask for."""
    return Stamp(
        *(_changed(folder / name) for name in ("journal.sqlite", "journal.sqlite-wal", "result.json"))
    )


def _changed(path: Path) -> int:
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0
    # Whoever reads a journal leaves an empty write-ahead log beside it: nothing has changed by that.
    return found.st_mtime_ns if found.st_size else 0


def _read(name: str, folder: Path, stamp: Stamp) -> Card:
    changed = max(stamp) / 1e9
    try:
        manifest = read_manifest(folder)
        if manifest is None:
            return Card(name=name, state=State.EMPTY, changed=changed)
        result = read_result(folder) if stamp.result else None
        rows = Tail(folder).last()
    except SharpenError as error:
        return Card(name=name, state=State.UNREADABLE, changed=changed, problem=str(error))
    ended = State.BUDGET if result and result.stopped_by else State.DONE
    return Card(
        name=name,
        state=ended if result else State.UNFINISHED,
        recipe=manifest.spec.recipe,
        model=manifest.spec.model,
        task=manifest.spec.task,
        seed=manifest.spec.seed,
        stopped_by=result.stopped_by if result else None,
        after=result.test.after if result else None,
        delta=result.test.delta if result else None,
        rows=rows,
        changed=changed,
    )
