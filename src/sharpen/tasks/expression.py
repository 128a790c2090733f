"""Nested parentheses, reduced from the innermost pair outwards.

A level sets the number of operations; every intermediate result lies between 0 and 99.
"""

from __future__ import annotations

import operator
import random

from sharpen.tasks.base import Problem, check_range

OPERATIONS = (2, 3, 4, 5, 7, 9)
LEVELS = range(1, len(OPERATIONS) + 1)
APPLY = {"+": operator.add, "-": operator.sub, "*": operator.mul}


def generate(rng: random.Random, *, level: int = 2) -> Problem:
    """Draw an expression such as `5+((3+4)*2)=?`."""
    check_range("level", level, LEVELS)
    value = rng.randint(1, 9)
    text = str(value)
    steps: list[str] = []
    while len(steps) < OPERATIONS[level - 1]:
        sign = rng.choice("+-*")
        operand = rng.randint(2 if sign == "*" else 1, 9)
        value_first = rng.random() < 0.5
        left, right = (value, operand) if value_first else (operand, value)
        result = APPLY[sign](left, right)
        if not 0 <= result <= 99:
            continue
        inner = f"({text})" if steps else text
        text = f"{inner}{sign}{operand}" if value_first else f"{operand}{sign}{inner}"
        steps.append(f"{left}{sign}{right}={result}")
        value = result
    return Problem(f"{text}=?", tuple(steps), str(value))
