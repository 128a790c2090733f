"""Sum or difference of several numbers, one operation per line.

A level sets how many numbers there are and how large; running totals never fall below zero.
"""

from __future__ import annotations

import random

from sharpen.tasks.base import Problem, check_range

TERMS = (2, 3, 4, 5, 7, 8)
LARGEST = (20, 20, 50, 99, 99, 300)
LEVELS = range(1, len(TERMS) + 1)


def generate(rng: random.Random, *, level: int = 2) -> Problem:
    """Draw a chain such as `17+25-9=?`."""
    check_range("level", level, LEVELS)
    total = rng.randint(1, LARGEST[level - 1])
    text, steps = str(total), []
    for _ in range(TERMS[level - 1] - 1):
        number = rng.randint(1, LARGEST[level - 1])
        sign = "-" if number <= total and rng.random() < 0.5 else "+"
        result = total - number if sign == "-" else total + number
        steps.append(f"{total}{sign}{number}={result}")
        text, total = f"{text}{sign}{number}", result
    return Problem(f"{text}=?", tuple(steps), str(total))
