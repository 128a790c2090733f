"""What is open of each run that somebody looks at, and what the page is told of it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from sharpen.core.budget import Budget, Purpose, Timing, Usage
from sharpen.core.errors import SharpenError
from sharpen.core.records import Record, encode
from sharpen.core.tail import Tail
from sharpen.experiment.manifest import Manifest, read_manifest
from sharpen.experiment.result import Result
from sharpen.experiment.show import read_result
from sharpen.report.charts.base import Chart
from sharpen.report.charts.decisions import gates, test_scores
from sharpen.report.charts.rounds import losses, measures, pass_rates, score_curve, variety
from sharpen.report.charts.spending import time_spent, usage, usage_by_round
from sharpen.report.history import read_history
from sharpen.report.page import Section
from sharpen.report.run_page import changes, growth
from sharpen.ui.control import Resumed
from sharpen.ui.graphs import MOST_ROWS, Graph, lineage_graph
from sharpen.ui.pairing import Pairing
from sharpen.ui.shelf import Card, Stamp, State, stamp_of
from sharpen.ui.watching import Progress, Step, Warned, Watch, shown

OPEN = 32
"""Runs that are kept open; the one that was not looked at for the longest time is forgotten."""
FRESH = 0.05
"""Seconds for which what was told last is told again, however many ask."""
SHARE = 25
"""Telling that took a second is followed by so many seconds without any: a page that is followed takes at
most a twenty-fifth of a core. While a long journal is read for the first time it takes half a core.
"""
PATIENCE = 0.1
"""Seconds for which one look may go on reading a journal."""
WARNINGS = 50
"""The newest warnings that are told."""


class Told(NamedTuple):
    """What the page is told of a run."""

    body: bytes
    """Facts as JSON."""
    stamp: Stamp | None
    """What the run's files were before they were read: when they are not, there is more to be told."""


class Changes(Record):
    """What changed from round to round, as a report has it."""

    changed: Section | None
    """None where the journal is empty, or too long to be read for it."""
    grown: Section | None
    note: str = ""
    """Why there is nothing, if it is for its length."""


class Opened:
    """One run that somebody looks at."""

    def __init__(self, folder: Path) -> None:
        """Nothing is read yet."""
        self.folder = folder
        self._telling = threading.Lock()
        self._again = 0.0
        self._told = Told(b"", None)
        self._reading = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self.watch = Watch(self.folder)
        self.pairing = Pairing(self.watch.tail, self.watch.store)
        self._seen: Progress | None = None
        self._manifest: Manifest | None = None
        self._result: tuple[int, Result] | None = None
        self._lineage: tuple[int, Graph] | None = None
        self._changes: tuple[int, bool, Changes] | None = None

    def look(self) -> Progress:
        """What is known of the run; Damaged if it cannot be read."""
        return self._seen or self._look_again()

    def _look_again(self) -> Progress:
        while (seen := self.watch.progress(PATIENCE)) is None:
            self._begin()  # another journal has taken the place of the one that was read
        self._seen = seen
        return seen

    def settle(self, seconds: float) -> Progress:
        """What is known after its rounds have been read, if that takes no longer than so many seconds."""
        self._look_again()
        if self.result() is None:
            reading = threading.Thread(target=self._read_on, daemon=True)
            reading.start()
            reading.join(seconds)
        return self._look_again()

    def tell(self, card: Callable[[], Card], resumed: Callable[[], Resumed]) -> Told:
        """The run's facts, hardly older than `FRESH`; Damaged if it cannot be read.

        Who asks while they are being renewed for somebody else is told the old ones.
        """
        if not self._telling.acquire(blocking=not self._told.body):
            return self._told
        with ExitStack() as telling:
            telling.callback(self._telling.release)
            begin, worked = time.monotonic(), time.thread_time()
            if begin < self._again:
                return self._told
            stamp, shown = stamp_of(self.folder), card()
            if shown.state not in (State.EMPTY, State.UNREADABLE):
                self._look_again()
            if self._seen and (_behind(self._seen) or (self._seen.waiting and self.result() is None)):
                threading.Thread(target=self._read_on, daemon=True).start()
            self._told = Told(encode(facts(self, shown, resumed())), stamp)
            worked = time.thread_time() - worked
            behind = self._seen is not None and _behind(self._seen)
            self._again = time.monotonic() + max(FRESH, worked if behind else SHARE * worked)
            return self._told

    def _read_on(self) -> None:
        """Take in what there is of the journal, at half a core, and then its rounds; one thread at a time."""
        if not self._reading.acquire(blocking=False):
            return
        watch = self.watch
        try:
            while (seen := watch.progress(PATIENCE)) and _behind(seen):
                time.sleep(PATIENCE)
            if seen and self.result() is None:
                watch.read_rounds()
        except SharpenError:
            return  # whoever asks for the run next is told why
        finally:
            self._reading.release()

    def lineage(self) -> Graph:
        """Which policy was made from which; BadInput for a journal that is too long to be read for it."""
        rows = self.watch.tail.last()
        if self._lineage is None or self._lineage[0] != rows:
            self._lineage = rows, lineage_graph(self.folder, rows)
        return self._lineage[1]

    def changes(self) -> Changes:
        """What changed from round to round so far; of a journal that is too long, why it is not shown."""
        # The result comes after the last row, and with it examples are of the test.
        rows, finished = self.watch.tail.last(), self.result() is not None
        if self._changes is None or self._changes[:2] != (rows, finished):
            self._changes = rows, finished, _changes(self.folder, rows)
        return self._changes[2]

    def manifest(self) -> Manifest | None:
        """What the run was asked to do."""
        self._manifest = self._manifest or read_manifest(self.folder)
        return self._manifest

    def result(self) -> Result | None:
        """Its result, once it is finished."""
        try:
            written = (self.folder / "result.json").stat().st_mtime_ns
        except FileNotFoundError:
            return None
        if self._result is None or self._result[0] != written:
            self._result = written, read_result(self.folder)
        return self._result[1]


def _changes(folder: Path, rows: int) -> Changes:
    if rows > MOST_ROWS:
        return Changes(
            changed=None,
            grown=None,
            note=f"The journal has {rows:,} rows, of which this view reads at most {MOST_ROWS:,}: "
            f"`sharpen report {folder}` shows it all.",
        )
    if not rows:
        return Changes(changed=None, grown=None)
    history = read_history(folder)
    return Changes(changed=changes(history), grown=growth(history))


def _behind(seen: Progress) -> bool:
    return seen.added < seen.rows


class Desk:
    """The runs that are open, by folder."""

    def __init__(self) -> None:
        self._open: OrderedDict[Path, Opened] = OrderedDict()
        self._changing = threading.Lock()

    def run(self, folder: Path) -> Opened:
        """A run, opened if need be."""
        with self._changing:
            found = self._open.get(folder) or Opened(folder)
            self._open[folder] = found
            self._open.move_to_end(folder)
            while len(self._open) > OPEN:
                self._open.popitem(last=False)
            return found


class Facts(Record):
    """What changes while a run goes on, but for its charts."""

    card: Card
    rows: int
    added: int
    """Rows that the sums below hold; fewer than `rows` while a long journal is being read."""
    waiting: int
    """Rounds that are still to be read for the charts."""
    rounds: int
    """Rounds that have been read. Charts change when this, `added` or `waiting` does."""
    searches: int
    spent: Mapping[str, float | None]
    """What the method used, by the meters that can be limited; None where it is not known."""
    seconds: float
    model_seconds: float
    limits: Budget
    conclusion: str
    """What may be said of it, once it is finished."""
    warnings: tuple[Warned, ...]
    unshown: int
    newest: tuple[Step, ...]
    resumed: Resumed


def facts(run: Opened, card: Card, resumed: Resumed) -> Facts:
    """What is known of a run now; its card tells if nothing can be."""
    if card.state in (State.EMPTY, State.UNREADABLE):
        return _nothing(card, resumed)
    seen, manifest, result = run.look(), run.manifest(), run.result()
    timing = [item.timing for item in seen.worked]
    return Facts(
        card=card.model_copy(update={"rows": seen.rows}),
        rows=seen.rows,
        added=seen.added,
        waiting=0 if result else seen.waiting,
        rounds=len(result.rounds if result else seen.rounds),
        searches=seen.searches,
        spent=_spent(seen),
        seconds=sum(item.seconds for item in timing),
        model_seconds=sum(item.model_seconds for item in timing),
        limits=manifest.spec.budget if manifest else Budget(),
        conclusion=result.conclusion if result else "",
        warnings=seen.warnings[-WARNINGS:],
        unshown=seen.unshown + max(0, len(seen.warnings) - WARNINGS),
        newest=seen.newest,
        resumed=resumed,
    )


def _spent(seen: Progress) -> dict[str, float | None]:
    times = [item.timing for item in seen.worked if item.purpose is Purpose.METHOD]
    timing = sum(times, start=Timing())
    usage = seen.used.get(Purpose.METHOD, Usage())
    return {**usage.model_dump(), "seconds": timing.seconds, "dollars": timing.dollars}


def _nothing(card: Card, resumed: Resumed) -> Facts:
    return Facts(
        card=card,
        rows=0,
        added=0,
        waiting=0,
        rounds=0,
        searches=0,
        spent={},
        seconds=0.0,
        model_seconds=0.0,
        limits=Budget(),
        conclusion="",
        warnings=(),
        unshown=0,
        newest=(),
        resumed=resumed,
    )


def charts(run: Opened) -> list[Chart]:
    """Pictures of a run so far; those that there is nothing to show for are left out."""
    seen, result, manifest = run.look(), run.result(), run.manifest()
    rounds = result.rounds if result else seen.rounds
    base = result.base_val if result else seen.base_val
    whole = result is not None or (seen.whole and not seen.waiting)
    limits = manifest.spec.budget if manifest else Budget()
    found = [
        test_scores(result) if result else None,
        score_curve(base, rounds),
        pass_rates(rounds),
        gates(rounds),
        usage(seen.used, limits),
        usage_by_round(rounds) if whole and rounds else None,
        time_spent(seen.worked),
        losses(rounds),
        *variety(rounds),
        *measures(rounds),
    ]
    return [chart for chart in found if chart is not None]


class Configured(Record):
    """What a run was asked to do, what its result depends on, and what came of it in words."""

    spec: Mapping[str, JsonValue]
    identity: Mapping[str, JsonValue]
    parent: str | None
    conclusion: str
    channels: tuple[str, ...]
    notes: tuple[str, ...]
    versions: Mapping[str, str]
    hardware: Mapping[str, JsonValue]


def configured(run: Opened) -> Configured:
    """A run's configuration; SharpenError before it has begun."""
    manifest, result = run.manifest(), run.result()
    if manifest is None:
        raise SharpenError("the run has not begun", remedy="wait for its first step")
    return Configured(
        spec=manifest.spec.model_dump(mode="json"),
        identity=manifest.identity,
        parent=manifest.parent,
        conclusion=result.conclusion if result else "",
        channels=result.channels if result else (),
        notes=result.notes if result else (),
        versions=result.versions if result else {},
        hardware=result.hardware if result else {},
    )


def steps(folder: Path, before: int) -> list[Step]:
    """A page of the journal, the newest rows first; `before` 0 begins at the newest."""
    return [shown(row) for row in Tail(folder).before(before or 2**62, 100)]
