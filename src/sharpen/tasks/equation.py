"""Linear equations in x: constants to one side, x to the other, then divide.

Level 1 is x+b=c, level 2 is ax+b=c, and from level 3 on x stands on both sides with growing numbers.
"""

from __future__ import annotations

import random

from sharpen.tasks.base import Problem, check_range

LARGEST = ((1, 20, 20), (9, 12, 40), (9, 12, 40), (15, 30, 99), (30, 60, 200), (99, 200, 999))
"""By level: largest coefficient, largest x and largest constant."""
LEVELS = range(1, len(LARGEST) + 1)


def generate(rng: random.Random, *, level: int = 2) -> Problem:
    """Draw an equation such as `7x+5=4x+26,x=?`."""
    check_range("level", level, LEVELS)
    most, largest_x, largest_constant = LARGEST[level - 1]
    x = rng.randint(1, largest_x)
    smaller = rng.randint(1, most - 2) if level >= 3 else 0
    larger = rng.randint(smaller + 2, most) if level >= 2 else 1
    rise = larger - smaller
    constant = rng.choice((-1, 1)) * rng.randint(1, largest_constant)
    if rise * x + constant < 0:
        constant = -constant
    total = rise * x + constant
    steps = [f"{total}{-constant:+d}={rise * x}"]
    if smaller:
        steps.append(f"{larger}-{smaller}={rise}")
    if larger > 1:
        steps.append(f"{rise * x}/{rise}={x}")
    left = f"{larger if larger > 1 else ''}x{constant:+d}"
    right = f"{smaller if smaller > 1 else ''}x+{total}" if smaller else str(total)
    return Problem(f"{left}={right},x=?", tuple(steps), str(x))
