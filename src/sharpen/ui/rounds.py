"""Rounds of a run as its journal tells them, read one by one, the newest first."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

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
        self.upto = after
        self.keys: list[str] = []
        self.chunks: dict[str, list[str]] = {"attempt": [], "judge": []}
        self.gate = ""

    def add(self, mark: Mark, chunked: str | None, gate: str | None) -> None:
        self.upto = mark.seq
        self.gate = mark.blob if gate else self.gate
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
    gate: str
    first: bool
    """Whether no earlier round is known."""


class RoundReader:
    """Remembers which rounds have something new; one thread may take notice while another one reads them."""

    def __init__(self, tail: Tail, store: ArtifactStore) -> None:
        """Nothing is read yet."""
        self._tail = tail
        self._store = store
        self._changing = threading.Lock()
        self._noted: dict[int, _Noted] = {}
        self._stale: set[int] = set()
        self._reading = 0
        self._known: dict[int, Round] = {}
        self._explored: dict[int, tuple[tuple[str, ...], Exploration | None]] = {}
        self._last = 0
        self._added: tuple[Round, ...] = ()
        self.base_val: Interval | None = None
        """Validation score of the policy that stood at the first gate, once that is read."""
        self.problems: dict[int, str] = {}
        """Rounds that cannot be read, and why."""

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
            if number not in self._noted:
                self._stale.update(self._noted.keys() & {number - 1})  # which is over now
                self._noted[number] = _Noted(self._last)
            self._noted[number].add(mark, found[2], found[3])
            self._last = mark.seq
            self._stale.add(number)

    def read(self) -> None:
        """Read what is new, the newest round first, until there is nothing more; one thread at a time."""
        while job := self._next():
            try:
                found = self._round(job)
                self.problems.pop(job.number, None)
            except SharpenError as error:
                found, self.problems[job.number] = None, str(error)
            self._done(job.number, found)

    def known(self) -> tuple[Round, ...]:
        """Rounds that have been read, in order, with the method's use up to and including each."""
        return self._added

    def _next(self) -> _Job | None:
        with self._changing:
            if not self._stale:
                return None
            number = max(self._stale)
            self._stale.discard(number)
            self._reading = 1
            noted, over = self._noted[number], number < max(self._noted)
            return _Job(
                number=number,
                after=noted.after,
                upto=noted.upto,
                keys=tuple(noted.keys),
                tried=noted.tried() if over or noted.gate else (),
                gate=noted.gate,
                first=number == min(self._noted),
            )

    def _done(self, number: int, found: Round | None) -> None:
        with self._changing:
            self._reading = 0
            if found is not None:
                self._known[number] = found
            if len(self._known) > KEPT:
                self._stale = {at for at in self._stale if at > min(self._known)}
                del self._known[min(self._known)]
            total, added = Usage(), []
            for _, item in sorted(self._known.items()):
                total = total + item.usage
                added.append(item.model_copy(update={"usage": total}))
            self._added = tuple(added)

    def _round(self, job: _Job) -> Round:
        """The round, with its own use of resources alone."""
        tried, explored = self._explored.get(job.number, ((), None))
        fresh = job.tried if job.tried != tried else ()
        entries = [row.entry for row in self._tail.named((*job.keys, *fresh))]
        if job.gate:
            entries += self._of_gate(decode(GateReport, self._store.get(job.gate)), first=job.first)
        found = next(iter(rounds_of(Steps(entries, self._store), None)), _empty(job.number))
        if fresh:
            self._explored[job.number] = job.tried, found.exploration
        sums = self._tail.sums(job.after, job.upto)
        used = sum((item.usage for item in sums if item.purpose is Purpose.METHOD), start=Usage())
        return found.model_copy(update={"usage": used, "exploration": found.exploration or explored})

    def _of_gate(self, gate: GateReport, *, first: bool) -> list[Entry]:
        """Verdicts on validation tasks of the policy that stood after a gate."""
        standing = gate.candidate if gate.adopted else gate.incumbent
        if first:
            before = list(self._val_verdicts(gate.incumbent))
            self.base_val = val_score(Steps(before, self._store), gate.incumbent)
        return list(self._val_verdicts(standing))

    def _val_verdicts(self, version: str) -> Iterator[Entry]:
        for number in count():
            row = self._tail.get(f"evaluate/val/{version}/judge/{number}")
            if row is None:
                return
            yield row.entry


def _empty(number: int) -> Round:
    """A round of which nothing that is read so far says more than that it has begun."""
    return Round(round=number, exploration=None, val=None, gate=None, usage=Usage())
