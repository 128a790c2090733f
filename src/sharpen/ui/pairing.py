"""Which verdict belongs to which attempt, in a journal of which only some rows are read.

Attempts and verdicts of one step are journaled in chunks of their own sizes. All chunks but the last are of
one size, so the first tell where every other begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sharpen.core.artifact import ArtifactStore
from sharpen.core.attempt import Attempt
from sharpen.core.journal import Entry
from sharpen.core.records import decode
from sharpen.core.tail import Tail
from sharpen.core.verdict import Verdict
from sharpen.experiment.show import judge_of

_REMEMBERED = 6
"""Chunks that are kept decoded: a page of attempts and the next one often are of the same."""
_BLOCK = 128
"""Chunks that are looked for at a time."""


class Extent(NamedTuple):
    """How a step is cut into chunks."""

    size: int
    """Items in every chunk but the last."""
    total: int


class Pairing:
    """Reads chunks of attempts and verdicts of one run."""

    def __init__(self, tail: Tail, store: ArtifactStore) -> None:
        """Both of the same run."""
        self._tail = tail
        self._store = store
        self._load = lru_cache(_REMEMBERED)(self._read)
        self._sure: dict[str, tuple[Extent, Extent]] = {}

    def attempts(self, entry: Entry) -> tuple[Attempt, ...]:
        """What a row of attempts holds."""
        found: tuple[Attempt, ...] = self._load(entry.blob, entry.verb)
        return found

    def verdicts(self, entry: Entry) -> Sequence[Verdict | None]:
        """A verdict for each attempt of a row; all None before the whole step is judged.

        A step whose attempts were not all judged has none either: whose its verdicts are is not recorded.
        """
        step, chunk = place_of(entry.key)
        there = len(self.attempts(entry))
        extents = self._extents(step)
        if extents is None or chunk is None:
            return [None] * there
        own, judged = extents
        first = chunk * own.size
        upto = (first + there - 1) // judged.size
        keys = [f"{judge_of(step)}/{number}" for number in range(first // judged.size, upto + 1)]
        found = [verdict for row in self._tail.named(keys) for verdict in self._load(row.entry.blob, "judge")]
        return found[first % judged.size :][:there]

    def _extents(self, step: str) -> tuple[Extent, Extent] | None:
        """How a step and its judging are cut; None unless there are as many verdicts as attempts."""
        if step not in self._sure:
            own, judged = self._extent(step, "attempt"), self._extent(judge_of(step), "judge")
            if own is None or judged is None or own.total != judged.total:
                return None
            self._sure[step] = own, judged
        return self._sure[step]

    def _extent(self, step: str, verb: str) -> Extent | None:
        chunks: list[str] = []
        while len(chunks) % _BLOCK == 0:
            keys = [f"{step}/{len(chunks) + number}" for number in range(_BLOCK)]
            rows = self._tail.named(keys)
            chunks += [row.entry.blob for row in rows if row.entry.verb == verb]
            if not rows:
                break
        if not chunks:
            return None
        first, last = (len(self._load(blob, verb)) for blob in (chunks[0], chunks[-1]))
        return Extent(first, (len(chunks) - 1) * first + last) if first else None

    def _read(self, blob: str, verb: str) -> Any:
        kind: Any = tuple[Verdict, ...] if verb == "judge" else tuple[Attempt, ...]
        return decode(kind, self._store.get(blob))


def place_of(key: str) -> tuple[str, int | None]:
    """The step of a chunk's key, and the chunk's number."""
    step, _, chunk = key.rpartition("/")
    return step, int(chunk) if chunk.isdecimal() else None
