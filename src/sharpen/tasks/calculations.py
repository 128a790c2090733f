"""Expressions that are too long to work out in one's head: with Python as a tool they are one line.

A level sets how many digits there are.
"""

from __future__ import annotations

import random

from sharpen.tasks.base import Problem, check_range

VERIFIER = "numeric"
ACTOR = "with_python"
LEVELS = range(1, 6)


def generate(rng: random.Random, *, level: int = 3) -> Problem:
    """Draw a question such as `4821*377-90*612=?`."""
    check_range("level", level, LEVELS)
    a, b, c, d = (rng.randrange(10**level // 2, 10**level) for _ in range(4))
    sign = rng.choice("+-")
    text = f"{a}*{b}{sign}{c}*{d}"
    total = a * b + c * d if sign == "+" else a * b - c * d
    step = f"{a}*{b}={a * b}", f"{c}*{d}={c * d}", f"{a * b}{sign}{c * d}={total}"
    return Problem(f"{text}=?", step, str(total))
