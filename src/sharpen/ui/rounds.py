"""Rounds of a run as its journal tells them, read one by one, the newest first."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from itertools import count

from sharpen.core.artifact import ArtifactStore
from sharpen.core.budget import Purpose, Usage
from sharpen.core.gate import GateReport
from sharpen.core.journal import Entry
from sharpen.core.records import decode
from sharpen.core.stats import Interval
from sharpen.core.tail import Mark, Tail
from sharpen.experiment.result import Round
from sharpen.experiment.rounds import Steps, rounds_of, val_score

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

    def wanted(self) -> list[str]:
        """Keys of the rows that are read."""
        many = any(len(keys) > MOST_CHUNKS for keys in self.chunks.values())
        return self.keys if many else [*self.keys, *self.chunks["attempt"], *self.chunks["judge"]]


class RoundReader:
    """Remembers which rounds have something new, and reads them when there is time."""

    def __init__(self, tail: Tail, store: ArtifactStore) -> None:
        """Nothing is read yet."""
        self._tail = tail
        self._store = store
        self._noted: dict[int, _Noted] = {}
        self._stale: set[int] = set()
        self._known: dict[int, Round] = {}
        self._last = 0
        self._added: tuple[Round, ...] = ()
        self.base_val: Interval | None = None
        """Validation score of the policy that stood at the first gate, once that is read."""

    @property
    def waiting(self) -> int:
        """Rounds that are still to be read."""
        return len(self._stale)

    def note(self, mark: Mark) -> None:
        """Take notice of a row; rows must come in order."""
        if found := _OF_ROUND.match(mark.key):
            number = int(found[1])
            noted = self._noted.setdefault(number, _Noted(self._last))
            noted.add(mark, found[2], found[3])
            self._last = mark.seq
            self._stale.add(number)

    def read(self, until: float) -> None:
        """Read rounds with something new, until a time of the monotonic clock."""
        if not self._stale:
            return
        while self._stale and time.monotonic() < until:
            number = max(self._stale)
            self._known[number] = self._round(self._noted[number])
            self._stale.discard(number)
            if len(self._known) > KEPT:
                self._stale.clear()
                del self._known[min(self._known)]
        self._added = self._added_up()

    def known(self) -> tuple[Round, ...]:
        """Rounds that have been read, in order, with the method's use up to and including each."""
        return self._added

    def _added_up(self) -> tuple[Round, ...]:
        total, found = Usage(), []
        for _, item in sorted(self._known.items()):
            total = total + item.usage
            found.append(item.model_copy(update={"usage": total}))
        return tuple(found)

    def _round(self, noted: _Noted) -> Round:
        """The round, with its own use of resources alone."""
        entries = [row.entry for row in self._tail.named(noted.wanted())]
        if noted.gate:
            entries += self._of_gate(decode(GateReport, self._store.get(noted.gate)), noted)
        (found,) = rounds_of(Steps(entries, self._store), None)
        sums = self._tail.sums(noted.after, noted.upto)
        used = sum((item.usage for item in sums if item.purpose is Purpose.METHOD), start=Usage())
        return found.model_copy(update={"usage": used})

    def _of_gate(self, gate: GateReport, noted: _Noted) -> list[Entry]:
        """Verdicts on validation tasks of the policy that stood after a gate."""
        standing = gate.candidate if gate.adopted else gate.incumbent
        if noted is self._noted[min(self._noted)]:
            before = list(self._val_verdicts(gate.incumbent))
            self.base_val = val_score(Steps(before, self._store), gate.incumbent)
        return list(self._val_verdicts(standing))

    def _val_verdicts(self, version: str) -> Iterator[Entry]:
        for number in count():
            row = self._tail.get(f"evaluate/val/{version}/judge/{number}")
            if row is None:
                return
            yield row.entry
