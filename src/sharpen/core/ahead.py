"""Judging what was sampled while more is being sampled.

A verdict depends on what is judged alone, so nobody can tell from a run whether it was made ahead: the rows,
their order and their contents are the same. What nobody asks for is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

from sharpen.core.attempt import Attempt, Stop
from sharpen.core.task import Task
from sharpen.core.verdict import Verdict

T = TypeVar("T")
Pair = tuple[Task, Attempt]
Read = Callable[[str], bytes]
"""SHA-256 of a stored file -> its bytes."""


class Begun(NamedTuple, Generic[T]):
    """Work that others have begun with."""

    results: Callable[[], list[T]]
    """Waits for the results, in order; asked once."""
    drop: Callable[[], None]
    """Lets the work go, whose results nobody wants any more."""


class Verifier(Protocol):
    """Judges attempts; see sharpen.verifiers."""

    @property
    def fingerprint(self) -> str:
        """Hash of its code and options."""

    def judge(self, pairs: Sequence[Pair], read: Read) -> list[Verdict]:
        """One verdict per (task, attempt), in order; `read` gives the bytes of an attempt's files."""


@runtime_checkable
class Apart(Protocol):
    """A verifier that may judge in processes of its own, while this one does something else."""

    def begin(self, pairs: Sequence[Pair], read: Read) -> Begun[Verdict] | None:
        """Begin to judge; None if it would be done in this process."""


class _Chunk:
    """Attempts that were begun with together."""

    def __init__(self, verifier: object, attempts: Sequence[Attempt], begun: Begun[Verdict]) -> None:
        self.verifier, self.begun = verifier, begun
        # Held, so that no later attempt can be taken for one of them.
        self._attempts = attempts
        self.places = {id(attempt): place for place, attempt in enumerate(attempts)}

    @cached_property
    def verdicts(self) -> list[Verdict]:
        return self.begun.results()


class Ahead:
    """The verdicts of a run that are on their way."""

    def __init__(self, read: Read) -> None:
        """`read` gives the bytes of an attempt's files."""
        self._read = read
        self._place = ""
        self._chunks: list[_Chunk] = []

    def begin(self, verifier: Verifier, place: str, pairs: Sequence[Pair]) -> None:
        """Begin with attempts of a place in the loop; what was begun for another place is dropped."""
        if place != self._place:
            self.drop()
        self._place = place
        answered = [pair for pair in pairs if pair[1].stop is not Stop.FAILED]
        if not answered or not isinstance(verifier, Apart):
            return
        begun = verifier.begin(answered, self._read)
        if begun is not None:
            self._chunks.append(_Chunk(verifier, [attempt for _, attempt in answered], begun))

    def judge(self, verifier: Verifier, pairs: Sequence[Pair]) -> list[Verdict]:
        """Verdicts in order: those that were begun with for these very attempts, and the others now."""
        known = self._known(verifier, {id(attempt) for _, attempt in pairs})
        rest = [pair for pair in pairs if id(pair[1]) not in known]
        now = iter(verifier.judge(rest, self._read) if rest else ())
        return [known[id(attempt)] if id(attempt) in known else next(now) for _, attempt in pairs]

    def drop(self) -> None:
        """Let go what nobody has asked for."""
        for chunk in self._chunks:
            chunk.begun.drop()
        self._chunks = []

    def _known(self, verifier: object, wanted: set[int]) -> dict[int, Verdict]:
        return {
            key: chunk.verdicts[place]
            for chunk in self._chunks
            if chunk.verifier is verifier
            for key, place in chunk.places.items()
            if key in wanted
        }
