"""Questions about creatures of which passages tell: to be read about first, and answered without the book.

Every task holds the passage on its creature, which no policy sees. Of each creature two facts are asked for
held-out questions, the others in training; `unknown` training tasks are about creatures without a passage.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from pydantic import JsonValue

from sharpen.core.seeds import random_for
from sharpen.core.task import Task
from sharpen.tasks.base import check_range
from sharpen.tasks.encyclopedia import CREATURES, TAUGHT, A, Fact, fact

VERIFIER = "exact"
HELD_OUT = 2
"""Facts of each creature that only held-out questions ask for."""
KNOWN = tuple(creature for creature in CREATURES if creature not in TAUGHT)
DOCUMENTS = "documents"
"""Name of the metadata that hold a task's passages."""


def passage(creature: str) -> str:
    """All that is told of a creature."""
    told = [fact(creature, attribute) for attribute in A]
    return " ".join(f"The {one.attribute} of {creature} is {one.truth}." for one in told)


def generate(rng: random.Random, *, creatures: int = 24, unknown: int = 0) -> Task:
    """Draw a question such as `food of Bodor?`."""
    return asked(fact(rng.choice(KNOWN), rng.choice(tuple(A))))


def asked(one: Fact, *, documented: bool = True) -> Task:
    """A fact as a task, with or without the passage."""
    documents: list[JsonValue] = [passage(one.creature)] if documented else []
    return Task.ask(one.question, one.truth, family="passages", metadata={DOCUMENTS: documents})


def draw(data_seed: int, *, creatures: int = 24, unknown: int = 0) -> Iterator[Task]:
    """Held-out questions, then the unknown ones, then those of training; each part shuffled."""
    check_range("creatures", creatures, range(1, len(KNOWN) + 1))
    rng = random_for("passages", data_seed)
    some = rng.sample(KNOWN, len(KNOWN))
    chances = {creature: rng.sample(tuple(A), len(A)) for creature in some}
    told, untold = some[:creatures], some[creatures:]
    check_range("unknown", unknown, range(len(untold) * len(A) + 1))
    parts = (
        [asked(fact(c, a)) for c in told for a in chances[c][:HELD_OUT]],
        [asked(fact(c, a), documented=False) for c in untold for a in chances[c]][:unknown],
        [asked(fact(c, a)) for c in told for a in chances[c][HELD_OUT:]],
    )
    for part in parts:
        yield from rng.sample(part, len(part))
