"""Questions of families that each follow a hidden rule, with facts to look up.

See sharpen.environments.rules. The dial `families` says how many families there are, and `first` leaves out
as many before them, so that two sets can have no family in common.
"""

from __future__ import annotations

import random
import string
from functools import cache

from sharpen.core.seeds import random_for
from sharpen.core.task import Message, Role, Task
from sharpen.environments.rules import NAMES, RULES, apply
from sharpen.tasks.base import check_range

VERIFIER = "outcome"
ACTOR = "episodes"
THINGS = 4
"""Facts in the table; a question needs two of them."""


def generate(rng: random.Random, *, families: int = 16, first: int = 0) -> Task:
    """Draw a question such as `zor K7 M2`."""
    check_range("families", families, range(1, len(NAMES) + 1))
    check_range("first", first, range(len(NAMES) - families + 1))
    name, rule = family(first + rng.randrange(families))
    things = sorted({f"{rng.choice(string.ascii_uppercase)}{rng.randrange(10)}" for _ in range(THINGS + 4)})
    facts = {thing: rng.randrange(1, 10) for thing in rng.sample(things, min(THINGS, len(things)))}
    one, other = rng.sample(sorted(facts), 2)
    return Task(
        messages=(Message(role=Role.USER, content=f"{name} {one} {other}"),),
        answer=apply(rule, facts[one], facts[other]),
        environment="rules",
        world={"family": name, "things": [one, other], "facts": {**facts}},
        metadata={"topic": name},
    )


def family(number: int) -> tuple[str, str]:
    """Name and hidden rule of a family; no two have the same name."""
    return names()[number], random_for("rule world", "rule", number).choice(RULES)


@cache
def names() -> tuple[str, ...]:
    """Every name, in a fixed random order."""
    made = list(NAMES)
    random_for("rule world", "names").shuffle(made)
    return tuple(made)
