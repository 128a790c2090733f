"""Remainders that are hard to work out at once, guessed with hints; see sharpen.environments.hinted.

All answers are about equally likely, so without hints `turns` guesses find a share of `turns / divisor`. The
dial `slips` is the share of hints in which the teacher gives the answer away.
"""

from __future__ import annotations

import random

from sharpen.core.task import Message, Role, Task
from sharpen.environments.hinted import Lesson
from sharpen.tasks.base import check_range

VERIFIER = "outcome"
ACTOR = "episodes"
DIVISORS = range(3, 100)
TURNS = range(1, 11)


def generate(rng: random.Random, *, divisor: int = 7, turns: int = 3, slips: float = 0.0) -> Task:
    """Draw a question such as `4821 mod 7=?`."""
    check_range("divisor", divisor, DIVISORS)
    check_range("turns", turns, TURNS)
    number = rng.randrange(1_000, 10_000)
    answer = number % divisor
    lesson = Lesson(answer=answer, told=answer, top=divisor - 1, turns=turns, slips=slips)
    return Task(
        messages=(Message(role=Role.USER, content=f"{number} mod {divisor}=?"),),
        answer=str(answer),
        environment="hinted",
        world=lesson.model_dump(mode="json"),
    )
