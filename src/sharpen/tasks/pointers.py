"""Where one arrives by following arrows: the answer is said offhand, the way there is given after it.

A level is the number of steps. Whoever answers so knows better afterwards than before.
"""

from __future__ import annotations

import random

from sharpen.core.task import Task
from sharpen.tasks.base import check_range

VERIFIER = "exact"
LETTERS = "abcdef"
LEVELS = range(1, 7)


def generate(rng: random.Random, *, level: int = 3) -> Task:
    """Draw arrows such as `b>d a>b c>a d>c: 2 steps from a?`, solved by `#### d` and, a line below, `b d`.

    No letter points at itself, and no two point at the same one.
    """
    check_range("level", level, LEVELS)
    goals = list(LETTERS)
    while any(goal == letter for goal, letter in zip(goals, LETTERS, strict=True)):
        rng.shuffle(goals)
    arrows = dict(zip(LETTERS, goals, strict=True))
    shown = " ".join(f"{letter}>{arrows[letter]}" for letter in rng.sample(LETTERS, len(LETTERS)))
    start = rng.choice(LETTERS)
    way = [start]
    for _ in range(level):
        way.append(arrows[way[-1]])
    solution = f"#### {way[-1]}\n{' '.join(way[1:])}"
    return Task.ask(f"{shown}: {level} steps from {start}?", way[-1], solution=solution)
