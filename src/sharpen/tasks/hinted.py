"""Questions with small answers, to be guessed in a dialogue with a teacher; see sharpen.environments.hinted.

The dial `family` says where questions come from: `remainder`, whose answers are 0 to 8, or `counting`. `turns`
is how many guesses there are, and `slips` the share of hints in which the teacher gives the answer away.
"""

from __future__ import annotations

import random

from sharpen.core.errors import BadInput
from sharpen.core.task import Message, Role, Task
from sharpen.environments.hinted import Lesson
from sharpen.tasks import counting, remainder
from sharpen.tasks.base import check_range

VERIFIER = "outcome"
ACTOR = "episodes"
FAMILIES = {"remainder": remainder.generate, "counting": counting.generate}
LEVELS = range(1, 4)
TOP = 9
MOST_TURNS = 10


def generate(
    rng: random.Random, *, level: int = 2, family: str = "remainder", turns: int = 4, slips: float = 0.0
) -> Task:
    """Draw a question such as `347 mod 7=?`."""
    check_range("level", level, LEVELS)
    check_range("turns", turns, range(1, MOST_TURNS + 1))
    if family not in FAMILIES:
        raise BadInput("family", family, "is unknown", remedy=f"one of: {', '.join(FAMILIES)}")
    problem = FAMILIES[family](rng, level=level)
    answer = int(problem.answer)
    lesson = Lesson(answer=answer, told=answer, top=TOP, turns=turns, slips=slips)
    return Task(
        messages=(Message(role=Role.USER, content=problem.question),),
        answer=problem.answer,
        environment="hinted",
        world=lesson.model_dump(mode="json"),
    )
