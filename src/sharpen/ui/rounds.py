"""Rounds of a run as its journal tells them, read one by one, the newest first."""

from __future__ import annotations

import re
import threading
from bisect import bisect_left
from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

from pydantic import ValidationError

from sharpen.core.artifact import ArtifactStore
from sharpen.core.budget import Purpose, Usage
from sharpen.core.errors import SharpenError
from sharpen.core.gate import GateReport
from sharpen.core.journal import Entry
from sharpen.core.records import decode
from sharpen.core.stats import Interval
from sharpen.core.tail import Mark, Tail
from sharpen.experiment.result import Round
from sharpen.experiment.rounds import Steps, rounds_of, val_score
from sharpen.monitors.exploration import Exploration

MOST_CHUNKS = 64
"""Rows of attempts that are read of a round; one with more shows everything but its exploration."""
KEPT = 1_000
"""Rounds that are read; of more, the newest."""
_OF_ROUND = re.compile(r"round\.(\d+)/(?:(attempt|judge)/\d+|update|(gate)|measure(?:~\d+)?)$")


class _Noted:
    """Rows of one round."""

    def __init__(self, after: int) -> None:
        self.after = after
        """Last row before the round."""
        self.last = after
        self.upto = 0
        """Last row that says something of the round before it is over; 0 if none does."""
        self.keys: list[str] = []
        self.chunks: dict[str, list[str]] = {"attempt": [], "judge": []}
        self.gate: Mark | None = None

    def add(self, mark: Mark, chunked: str | None, gate: str | None) -> None:
        self.last = mark.seq
        self.gate = mark if gate else self.gate
        # Chunks of attempts come by the thousand, and are read once all of them are there.
        self.upto = self.upto if chunked and not self.gate else mark.seq
        keys = self.chunks[chunked] if chunked else self.keys
        if len(keys) <= MOST_CHUNKS:
            keys.append(mark.key)

    def tried(self) -> tuple[str, ...]:
        """Rows of attempts and verdicts that are read; none if there are too many."""
        many = any(len(keys) > MOST_CHUNKS for keys in self.chunks.values())
        return () if many else (*self.chunks["attempt"], *self.chunks["judge"])


class _Job(NamedTuple):
    """A round to be read, as far as it had come when it was taken up."""

    number: int
    after: int
    upto: int
    keys: tuple[str, ...]
    tried: tuple[str, ...]
    """Empty before the round is over: its attempts are read once, not with every row that comes."""
    gate: Mark | None


class RoundReader:
    """Remembers which rounds have something new; one thread may take notice while another one reads them.

    What is known once all is read follows from the rows alone, whenever there was a reading in between.
    """

    def __init__(self, tail: Tail, store: ArtifactStore) -> None:
        """Nothing is read yet."""
        self._tail = tail
        self._store = store
        self._changing = threading.Lock()
        self._noted: dict[int, _Noted] = {}
        self._newest = -1
        self._last = 0
        self._first_gate: Mark | None = None
        self._base_read = False
        self._told: set[int] = set()
        """Rounds of which there is something to be read, or was."""
        self._stale: set[int] = set()
        self._reading = 0
        self._known: dict[int, Round] = {}
        self._explored: dict[int, tuple[tuple[str, ...], Exploration | None]] = {}
        self._added: list[Round] = []
        self._renewed: int | None = None
        """The first round that has changed since they were added up."""
        self.base_val: Interval | None = None
        """Validation score of the policy that stood at the first gate, once that is read."""
        self.base_problem = ""
        """Why it cannot be read."""
        self.problems: dict[int, str] = {}
        """Rounds that cannot be read, and why."""
        self.whole = True
        """Whether no round has been left out for the sake of newer ones."""

    @property
    def waiting(self) -> int:
        """Rounds that are still to be read."""
        return len(self._stale) + self._reading

    def note(self, mark: Mark) -> None:
        """Take notice of a row; rows must come in order."""
        found = _OF_ROUND.match(mark.key)
        if found is None:
            return
        number = int(found[1])
        with self._changing:
            if number > self._newest:
                self._tell(self._newest)  # which is over now
                self._newest = number
            noted = self._noted.setdefault(number, _Noted(self._last))
            noted.add(mark, found[2], found[3])
            self._last = mark.seq
            if self._first_gate is None:
                self._first_gate = noted.gate
            if noted.upto == mark.seq or number < self._newest:
                self._tell(number)

    def _tell(self, number: int) -> None:
        """There is something new of a round."""
        if number not in self._noted:
            return
        self._stale.add(number)
        self._told.add(number)
        if len(self._told) > KEPT:
            self._drop(min(self._told))

    def _drop(self, oldest: int) -> None:
        self._told.discard(oldest)
        self._stale.discard(oldest)
        del self._noted[oldest]
        self._known.pop(oldest, None)
        self._explored.pop(oldest, None)
        self.problems.pop(oldest, None)
        self._renewed, self.whole = 0, False

    def read(self) -> None:
        """Read what is new, the newest round first, until there is nothing more; one thread at a time."""
        while job := self._next():
            self._read_base()
            try:
                self._done(job.number, self._round(job), "")
            except (SharpenError, ValidationError) as error:
                self._done(job.number, None, str(error))

    def known(self) -> tuple[Round, ...]:
        """Rounds that have been read, in order, with the method's use up to and including each."""
        with self._changing:
            if self._renewed is not None:
                del self._added[bisect_left(self._added, self._renewed, key=lambda item: item.round) :]
                self._add_up(self._renewed)
                self._renewed = None
            return tuple(self._added)

    def _add_up(self, begin: int) -> None:
        total = self._added[-1].usage if self._added else Usage()
        for number in sorted(at for at in self._known if at >= begin):
            total = total + self._known[number].usage
            self._added.append(self._known[number].model_copy(update={"usage": total}))

    def _next(self) -> _Job | None:
        with self._changing:
            if not self._stale:
                return None
            number = max(self._stale)
            self._stale.discard(number)
            self._reading = 1
            noted, over = self._noted[number], number < self._newest
            return _Job(
                number=number,
                after=noted.after,
                upto=noted.last if over else noted.upto,
                keys=tuple(noted.keys),
                tried=noted.tried() if over or noted.gate else (),
                gate=noted.gate,
            )

    def _done(self, number: int, found: Round | None, problem: str) -> None:
        with self._changing:
            self._reading = 0
            if number not in self._told:  # newer ones have taken its place meanwhile
                return
            self._known.pop(number, None)
            self.problems.pop(number, None)
            if found is None:
                self.problems[number] = problem
            else:
                self._known[number] = found
            self._renewed = min(number, number if self._renewed is None else self._renewed)

    def _read_base(self) -> None:
        gate = self._first_gate
        if gate is None or self._base_read:
            return
        self._base_read = True
        try:
            version = decode(GateReport, self._store.get(gate.blob)).incumbent
            before = Steps(self._val_verdicts(version, gate.seq), self._store)
            self.base_val = val_score(before, version)
        except (SharpenError, ValidationError) as error:
            self.base_problem = str(error)

    def _round(self, job: _Job) -> Round:
        """The round, with its own use of resources alone."""
        tried, explored = self._explored.get(job.number, ((), None))
        known = job.tried == tried
        fresh = () if known else job.tried
        entries = [row.entry for row in self._tail.named((*job.keys, *fresh))]
        entries += self._of_gate(job.gate) if job.gate else ()
        found = next(iter(rounds_of(Steps(entries, self._store), None)), _empty(job.number))
        explored = explored if known else found.exploration
        self._explored[job.number] = job.tried, explored
        sums = self._tail.sums(job.after, job.upto)
        used = sum((item.usage for item in sums if item.purpose is Purpose.METHOD), start=Usage())
        return found.model_copy(update={"usage": used, "exploration": explored})

    def _of_gate(self, gate: Mark) -> list[Entry]:
        """Verdicts on validation tasks of the policy that stood after a gate."""
        report = decode(GateReport, self._store.get(gate.blob))
        standing = report.candidate if report.adopted else report.incumbent
        return list(self._val_verdicts(standing, gate.seq))

    def _val_verdicts(self, version: str, before: int) -> Iterator[Entry]:
        for number in count():
            row = self._tail.get(f"evaluate/val/{version}/judge/{number}")
            if row is None or row.seq > before:
                return
            yield row.entry


def _empty(number: int) -> Round:
    """A round of which nothing that is read so far says more than that it has begun."""
    return Round(round=number, exploration=None, val=None, gate=None, usage=Usage())
