"""Sums and differences, answered offhand: the answer comes first, the steps to it after.

A level is that of the family `chain`. Whoever answers so knows better afterwards than before.
"""

from __future__ import annotations

import random

from sharpen.core.task import Task
from sharpen.tasks import chain

VERIFIER = "exact"
LEVELS = chain.LEVELS


def generate(rng: random.Random, *, level: int = 2) -> Task:
    """Draw a chain such as `17+5-9=?`, solved by `#### 13` and, below, `17+5=22` and `22-9=13`."""
    problem = chain.generate(rng, level=level)
    solution = "\n".join((f"#### {problem.answer}", *problem.steps))
    return Task.ask(problem.question, problem.answer, solution=solution)
