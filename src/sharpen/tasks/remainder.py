"""Remainder of a long number divided by a single digit, by long division.

A level sets the number of digits. Each line takes the largest multiple off what is left with the next
digit brought down.
"""

from __future__ import annotations

import random

from sharpen.tasks.base import Problem, check_range

DIGITS = (2, 3, 4, 6, 8, 10)
LEVELS = range(1, len(DIGITS) + 1)


def generate(rng: random.Random, *, level: int = 2) -> Problem:
    """Draw a remainder such as `347 mod 7=?`."""
    check_range("level", level, LEVELS)
    digits = DIGITS[level - 1]
    number, divisor = rng.randrange(10 ** (digits - 1), 10**digits), rng.randint(2, 9)
    rest, steps = 0, []
    for digit in map(int, str(number)):
        part = 10 * rest + digit
        rest = part % divisor
        steps.append(f"{part}-{part - rest}={rest}")
    return Problem(f"{number} mod {divisor}=?", tuple(steps), str(rest))
