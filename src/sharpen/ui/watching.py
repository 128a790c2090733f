"""What is known of one run's journal so far, brought up to date in slices of bounded time.

Of a long journal the newest rows are shown at once; sums over all rows grow slice by slice, and rounds are
read newest first. Whoever looks says for how long this may go on reading.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict, deque
from itertools import islice
from pathlib import Path

from sharpen.core.artifact import ArtifactStore
from sharpen.core.budget import Purpose, Timing, Usage
from sharpen.core.records import Record, decode
from sharpen.core.stats import Interval
from sharpen.core.tail import Mark, Numbered, Sum, Tail
from sharpen.experiment.result import Round
from sharpen.report.charts.spending import Worked
from sharpen.ui.rounds import RoundReader

SLICE = 2_000
"""Rows that are added up at a time."""
KEPT = 2_000
"""Warnings and searches that are kept: the first and the last ones; the rest is counted."""
_MARKED = ("warn", "gate", "update", "measure", "attempt", "judge", "search")


class Step(Record):
    """A finished step as the page lists it."""

    seq: int
    key: str
    verb: str
    purpose: Purpose
    usage: Usage
    seconds: float
    model_seconds: float


class Warned(Record):
    """What a monitor said, and where in the loop."""

    place: str
    text: str


class Progress(Record):
    """A run as far as it has been read."""

    rows: int
    """Rows in the journal."""
    added: int
    """Of these, rows that the sums hold."""
    waiting: int
    """Rounds that are still to be read."""
    used: dict[Purpose, Usage]
    worked: tuple[Worked, ...]
    rounds: tuple[Round, ...]
    base_val: Interval | None
    searches: int
    """Steps that may hold search trees."""
    warnings: tuple[Warned, ...]
    unshown: int
    """Warnings beyond those."""
    newest: tuple[Step, ...]


class Watch:
    """Follows one journal; safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        """Nothing is read yet."""
        self.tail = Tail(folder)
        self.store = ArtifactStore(folder / "store")
        self._reading = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._added = 0
        self._sums: dict[tuple[str, Purpose], tuple[int, Usage, Timing]] = {}
        self._warnings: list[Warned] = []
        self._counts: Counter[str] = Counter()
        self._searches: deque[Mark] = deque(maxlen=KEPT)
        self._rounds = RoundReader(self.tail, self.store)

    def progress(self, seconds: float) -> Progress:
        """What is known after reading for about so long; Damaged if the journal cannot be read."""
        newest = self.tail.before(2**62, 12)
        last = newest[0].seq if newest else 0
        if self._reading.acquire(timeout=seconds):
            try:
                self._read(last, time.monotonic() + seconds)
            finally:
                self._reading.release()
        return self._known(last, tuple(map(shown, newest)))

    def searches(self, upto: int, limit: int) -> list[Mark]:
        """Searches that are known so far up to a row, the newest first."""
        known = (mark for mark in reversed(self._searches.copy()) if mark.seq <= upto)
        return list(islice(known, limit))

    def _read(self, last: int, until: float) -> None:
        if last < self._added:  # another journal has taken the place of the one that was read
            self._forget()
        while self._added < last and time.monotonic() < until:
            upto = min(last, self._added + SLICE)
            for item in self.tail.sums(self._added, upto):
                self._add(item)
            for mark in self.tail.marks(self._added, upto, _MARKED):
                self._note(mark)
            self._added = upto

    def read_rounds(self) -> None:
        """Read what is new of rounds; may take long, and one thread at a time may do it."""
        self._rounds.read()

    def _add(self, item: Sum) -> None:
        place = item.verb, item.purpose
        rows, usage, timing = self._sums.get(place, (0, Usage(), Timing()))
        self._sums[place] = rows + item.rows, usage + item.usage, timing + item.timing

    def _note(self, mark: Mark) -> None:
        self._counts[mark.verb] += 1
        if mark.verb == "search":
            self._searches.append(mark)
        elif mark.verb != "warn":
            self._rounds.note(mark)
        elif len(self._warnings) < KEPT:
            place = mark.key.rpartition("/")[0] or "run"
            self._warnings.append(Warned(place=place, text=decode(str, self.store.get(mark.blob))))

    def _unread(self) -> list[Warned]:
        found = sorted(self._rounds.problems.items())
        return [Warned(place=f"round.{number}", text=f"cannot be read: {why}") for number, why in found]

    def _known(self, last: int, newest: tuple[Step, ...]) -> Progress:
        used: dict[Purpose, Usage] = defaultdict(Usage)
        for (_, purpose), (_, usage, _) in list(self._sums.items()):
            used[purpose] = used[purpose] + usage
        return Progress(
            rows=last,
            added=self._added,
            waiting=self._rounds.waiting,
            used=dict(used),
            worked=tuple(
                Worked(verb=verb, purpose=purpose, steps=rows, timing=timing)
                for (verb, purpose), (rows, _, timing) in sorted(self._sums.items())
            ),
            rounds=self._rounds.known(),
            base_val=self._rounds.base_val,
            searches=self._counts["search"],
            warnings=(*self._warnings, *self._unread()),
            unshown=self._counts["warn"] - len(self._warnings),
            newest=newest,
        )


def shown(row: Numbered) -> Step:
    """A row as the page lists it."""
    return Step(
        seq=row.seq,
        key=row.entry.key,
        verb=row.entry.verb,
        purpose=row.entry.purpose,
        usage=row.entry.usage,
        seconds=row.wall.seconds,
        model_seconds=row.wall.model_seconds,
    )
