"""Product of a long number and a single digit, place by place from the units with carries.

A level sets the number of digits. Each line multiplies one digit and adds the carry of the line before.
"""

from __future__ import annotations

import random

from sharpen.tasks.base import Problem, check_range

DIGITS = (2, 3, 4, 6, 8, 10)
LEVELS = range(1, len(DIGITS) + 1)


def generate(rng: random.Random, *, level: int = 2) -> Problem:
    """Draw a product such as `347*6=?`."""
    check_range("level", level, LEVELS)
    digits = DIGITS[level - 1]
    number, factor = rng.randrange(10 ** (digits - 1), 10**digits), rng.randint(2, 9)
    carry, steps = 0, []
    for digit in map(int, reversed(str(number))):
        result = digit * factor + carry
        steps.append(f"{digit}*{factor}+{carry}={result}")
        carry = result // 10
    return Problem(f"{number}*{factor}=?", tuple(steps), str(number * factor))
