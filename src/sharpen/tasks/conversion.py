"""A number written in another base, read digit by digit into base ten.

A level sets the number of digits and the range of bases, unless the dial `base` fixes the base.
"""

from __future__ import annotations

import random

from sharpen.tasks.base import Problem, check_range

DIGITS = (3, 4, 5, 6, 7, 8)
LEVEL_BASES = ((3, 6), (4, 8), (3, 9), (3, 9), (4, 9), (4, 9))
LEVELS = range(1, len(DIGITS) + 1)
BASES = range(2, 10)


def generate(rng: random.Random, *, level: int = 2, base: int | None = None) -> Problem:
    """Draw a number to convert such as `1202 in base 3=?`."""
    check_range("level", level, LEVELS)
    if base is None:
        base = rng.randint(*LEVEL_BASES[level - 1])
    check_range("base", base, BASES)
    digits = [rng.randrange(1, base), *(rng.randrange(base) for _ in range(DIGITS[level - 1] - 1))]
    value, steps = digits[0], []
    for digit in digits[1:]:
        result = value * base + digit
        steps.append(f"{value}*{base}+{digit}={result}")
        value = result
    return Problem(f"{''.join(map(str, digits))} in base {base}=?", tuple(steps), str(value))
