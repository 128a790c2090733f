"""Attempts chunk by chunk; where they are made elsewhere, more chunks are begun while one is waited for.

What a chunk's attempts are follows from its jobs alone, and rows are written in the order of the chunks, so
nobody can tell from a run who made its attempts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from functools import partial
from typing import NamedTuple, Protocol, runtime_checkable

from sharpen.core.ahead import Begun
from sharpen.core.attempt import Attempt
from sharpen.core.policy import Actor, Decoding, Job, Policy


class Chunk(NamedTuple):
    """Attempts that are made together and make one row."""

    key: str
    jobs: Sequence[Job]


@runtime_checkable
class Elsewhere(Protocol):
    """An actor that has others make attempts, several chunks at a time."""

    @property
    def width(self) -> int:
        """How many chunks keep all of them busy."""

    def begin(self, policy: Policy, jobs: Sequence[Job], decoding: Decoding) -> Begun[Attempt] | None:
        """Have a chunk made; None if that is for `act` to do."""


class Making(NamedTuple):
    """A chunk and what gives its attempts, in the order of its jobs."""

    chunk: Chunk
    attempts: Callable[[], Sequence[Attempt]]


class _Begun(NamedTuple):
    making: Making
    drop: Callable[[], None]


def making(
    actor: Actor, policy: Policy, how: Decoding, chunks: Iterable[Chunk], known: Callable[[str], bool]
) -> Generator[Making]:
    """Every chunk in order. Those whose keys are `known` to be in the journal are not begun ahead.

    Close it once no more is wanted: it then lets go what was begun.
    """
    width = actor.width if isinstance(actor, Elsewhere) else 1
    coming, begun = iter(chunks), deque[_Begun]()
    try:
        while True:
            while len(begun) < width and (chunk := next(coming, None)) is not None:
                begun.append(_begun(actor, policy, how, chunk, begin=not known(chunk.key)))
            if not begun:
                return
            yield begun[0].making
            begun.popleft()
    finally:
        for one in begun:
            one.drop()


def _begun(actor: Actor, policy: Policy, how: Decoding, chunk: Chunk, *, begin: bool) -> _Begun:
    if begin and isinstance(actor, Elsewhere):
        work = actor.begin(policy, chunk.jobs, how)
        if work is not None:
            return _Begun(Making(chunk, work.results), work.drop)
    return _Begun(Making(chunk, partial(actor.act, policy, chunk.jobs, how)), _nothing)


def _nothing() -> None:
    """Let go what was not begun."""
