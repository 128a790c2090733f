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

from pydantic import ValidationError

from sharpen.core.artifact import ArtifactStore
from sharpen.core.budget import Purpose, Usage
from sharpen.core.errors import SharpenError
from sharpen.core.records import Record, decode
from sharpen.core.stats import Interval
from sharpen.core.tail import Mark, News, Numbered, Sum, Tail
from sharpen.experiment.result import Round
from sharpen.report.charts.spending import Worked
from sharpen.ui.rounds import RoundReader

SLICE = 2_000
"""Rows that are added up at a time."""
KEPT = 2_000
"""Warnings and searches that are kept, the newest ones; the rest is counted."""
NEWEST = 12
"""Rows that are shown of the end."""
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
    whole: bool
    """Whether these are all rounds, and not the newest of very many."""
    base_val: Interval | None
    searches: int
    """Steps that may hold search trees."""
    warnings: tuple[Warned, ...]
    unshown: int
    """Warnings beyond those."""
    newest: tuple[Step, ...]


class Watch:
    """Follows one journal; safe to use from several threads.

    What it knows follows from the rows that were read alone, not from how many were read at a time.
    """

    def __init__(self, folder: Path) -> None:
        """Nothing is read yet."""
        self.tail = Tail(folder)
        self.store = ArtifactStore(folder / "store")
        self._reading = threading.Lock()
        self._read = News(0, 0, "", [], [])
        self._sums: dict[tuple[str, Purpose], Sum] = {}
        self._warnings: deque[Warned] = deque(maxlen=KEPT)
        self._counts: Counter[str] = Counter()
        self._searches: deque[Mark] = deque(maxlen=KEPT)
        self._rounds = RoundReader(self.tail, self.store)

    def progress(self, seconds: float) -> Progress | None:
        """What is known after reading for about so long; Damaged if the journal cannot be read.

        None if the journal no longer holds what was read of it: it was cut, or another has taken its place.
        """
        if self._reading.acquire(timeout=seconds):
            try:
                if not self._go_on(time.monotonic() + seconds):
                    return None
            finally:
                self._reading.release()
        return self._known(self._read)

    def searches(self, upto: int, limit: int) -> list[Mark]:
        """Searches that are known so far up to a row, the newest first."""
        known = (mark for mark in reversed(self._searches.copy()) if mark.seq <= upto)
        return list(islice(known, limit))

    def _go_on(self, until: float) -> bool:
        """Read what is new; False if nothing can be new in this journal."""
        while news := self.tail.news(self._read.upto, self._read.head, _MARKED, SLICE):
            for item in news.sums:
                place = item.verb, item.purpose
                self._sums[place] = self._sums[place].plus(item) if place in self._sums else item
            for mark in news.marks:
                self._note(mark)
            self._read = news._replace(sums=[], marks=[])
            if news.upto == news.last or time.monotonic() >= until:
                return True
        return False

    def read_rounds(self) -> None:
        """Read what is new of rounds; may take long, and one thread at a time may do it."""
        self._rounds.read()

    def _note(self, mark: Mark) -> None:
        self._counts[mark.verb] += 1
        if mark.verb == "search":
            self._searches.append(mark)
        elif mark.verb == "warn":
            self._warnings.append(self._warned(mark))
        else:
            self._rounds.note(mark)

    def _warned(self, mark: Mark) -> Warned:
        try:
            text = decode(str, self.store.get(mark.blob))
        except (SharpenError, ValidationError) as error:
            text = f"cannot be read: {error}"
        return Warned(place=mark.key.rpartition("/")[0] or "run", text=text)

    def _unread(self) -> list[Warned]:
        rounds = {f"round.{number}": why for number, why in sorted(self._rounds.problems.items())}
        found = {"start": self._rounds.base_problem, **rounds}
        return [Warned(place=place, text=f"cannot be read: {why}") for place, why in found.items() if why]

    def _known(self, read: News) -> Progress:
        used: dict[Purpose, Usage] = defaultdict(Usage)
        sums = sorted(self._sums.copy().items())
        for (_, purpose), item in sums:
            used[purpose] = used[purpose] + item.usage
        return Progress(
            rows=read.last,
            added=read.upto,
            waiting=self._rounds.waiting,
            used=dict(sorted(used.items())),
            worked=tuple(
                Worked(verb=verb, purpose=purpose, steps=item.rows, timing=item.timing)
                for (verb, purpose), item in sums
            ),
            rounds=self._rounds.known(),
            whole=self._rounds.whole,
            base_val=self._rounds.base_val,
            searches=self._counts["search"],
            warnings=(*self._warnings.copy(), *self._unread()),
            unshown=self._counts["warn"] - len(self._warnings),
            newest=tuple(map(shown, self.tail.before(read.last + 1, NEWEST))),
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
