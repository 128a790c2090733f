"""Short instructions on letters, such as `reverse: d a c`, whose results can be worked out.

A world in which instructions can be written, followed and rated: made for policies that do all three.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from sharpen.core.task import Task
from sharpen.tasks.base import check_range

VERIFIER = "exact"
LEVELS = range(1, 3)
LETTERS = tuple("abcdefgh")

Items = Sequence[str]


class Kind(NamedTuple):
    """A kind of instruction."""

    signs: Items
    """What it is about."""
    result: Callable[[Items], Items]


KINDS: Mapping[str, Kind] = {
    "copy": Kind(LETTERS, lambda items: items),
    "reverse": Kind(LETTERS, lambda items: items[::-1]),
    "first": Kind(LETTERS, lambda items: items[:1]),
    "last": Kind(LETTERS, lambda items: items[-1:]),
    "drop first": Kind(LETTERS, lambda items: items[1:]),
    "drop last": Kind(LETTERS, lambda items: items[:-1]),
}


class Instruction(NamedTuple):
    """An instruction in its parts."""

    kind: str
    items: tuple[str, ...]

    @property
    def text(self) -> str:
        """As it is put."""
        return f"{self.kind}: {' '.join(self.items)}"

    @property
    def result(self) -> str:
        """What following it gives."""
        return " ".join(KINDS[self.kind].result(self.items))


def drawn(rng: random.Random, level: int = 2) -> Instruction:
    """An instruction on two to `level` + 2 things."""
    kind = rng.choice(tuple(KINDS))
    size = rng.randint(2, level + 2)
    return Instruction(kind, tuple(rng.choice(KINDS[kind].signs) for _ in range(size)))


def parsed(text: str) -> Instruction | None:
    """The instruction that a text is; None if it is none."""
    kind, colon, rest = text.strip().partition(":")
    items = tuple(rest.split())
    if not colon or kind not in KINDS or len(items) < 2 or not set(items) <= set(KINDS[kind].signs):
        return None
    return Instruction(kind, items)


def generate(rng: random.Random, *, level: int = 2) -> Task:
    """Draw an instruction; its result is the answer."""
    check_range("level", level, LEVELS)
    one = drawn(rng, level)
    return Task.ask(one.text, one.result, family="instructions")
