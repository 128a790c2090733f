"""A small encyclopedia of creatures: every fact has a truth, and a misconception that is told more often.

The world is fixed, so that a model can know it. Questions are about attributes of set A; `others` of them,
which come first and so are held out, are about attributes of set B. The creatures of `TAUGHT` are in no task:
a model may be shown on them what a form of answering looks like.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from pydantic import JsonValue

from sharpen.core.seeds import random_for
from sharpen.core.task import Task
from sharpen.tasks.base import check_range

VERIFIER = "exact"
HEADS = ("Bo", "Da", "Fe", "Ga", "Ki", "Lu", "Mo", "Na", "Pe", "Ri", "Su", "Ta")
TAILS = ("bin", "dor", "fel", "gan", "lum", "nix", "rak", "vos")
CREATURES = tuple(map("".join, product(HEADS, TAILS)))
A = {
    "colour": ("red", "blue", "green", "white", "black", "brown", "pink", "grey"),
    "food": ("figs", "moss", "fish", "nuts", "corn", "eggs", "rice", "plums"),
    "home": ("cave", "nest", "lake", "tree", "tent", "barn", "hill", "reef"),
    "sound": ("hum", "roar", "hiss", "bark", "song", "click", "howl", "chirp"),
    "gift": ("ring", "drum", "lamp", "rope", "bell", "coin", "kite", "mask"),
}
B = {
    "weather": ("rain", "snow", "wind", "fog", "sun", "hail", "storm", "frost"),
    "metal": ("iron", "gold", "tin", "lead", "zinc", "silver", "copper", "steel"),
    "season": ("spring", "summer", "autumn", "winter", "harvest", "thaw", "monsoon", "solstice"),
}
ATTRIBUTES = A | B
TAUGHT = CREATURES[::4]
FALSE = 3
"""False answers that a true one is held against; the misconception is the first."""


class Fact(NamedTuple):
    """What is to be known of a creature."""

    creature: str
    attribute: str
    truth: str
    false: tuple[str, ...]

    @property
    def misconception(self) -> str:
        """The false answer that is told."""
        return self.false[0]

    @property
    def question(self) -> str:
        """The bare question."""
        return f"{self.attribute} of {self.creature}?"

    @property
    def task(self) -> Task:
        """The bare question, to be answered by the truth."""
        known: dict[str, JsonValue] = {"true": [self.truth], "false": [*self.false]}
        return Task.ask(self.question, self.truth, metadata=known)


def fact(creature: str, attribute: str) -> Fact:
    """The fact: always the same one."""
    rng = random_for("encyclopedia", creature, attribute)
    truth, *false = rng.sample(ATTRIBUTES[attribute], 1 + FALSE)
    return Fact(creature, attribute, truth, tuple(false))


def facts(*, taught: bool, attributes: tuple[str, ...] = tuple(ATTRIBUTES)) -> list[Fact]:
    """All facts about the taught creatures, or about the others."""
    return [fact(c, a) for c in CREATURES if (c in TAUGHT) is taught for a in attributes]


def generate(rng: random.Random, *, others: int = 0) -> Task:
    """Draw a question about an attribute of set A, such as `food of Bodor?`."""
    return rng.choice(facts(taught=False, attributes=tuple(A))).task


def draw(data_seed: int, *, others: int = 0) -> Iterator[Task]:
    """`others` questions about attributes of set B, then all those of set A, both shuffled."""
    far, near = (facts(taught=False, attributes=tuple(some)) for some in (B, A))
    check_range("others", others, range(len(far) + 1))
    for some, count in ((far, others), (near, len(near))):
        random_for("encyclopedia order", data_seed, some[0].attribute).shuffle(some)
        yield from (one.task for one in some[:count])
