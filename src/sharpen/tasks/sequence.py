"""Next term of a sequence, by differences of differences.

The rule is the polynomial of least degree through the terms shown, so the last difference repeats. A level
sets the degree (2 to 4) and the size of the numbers.
"""

from __future__ import annotations

import random
from itertools import accumulate, pairwise

from sharpen.tasks.base import Problem, check_range

LARGEST = ((9, 9, 5), (30, 15, 12), (99, 50, 30), (20, 12, 8, 4), (99, 40, 20, 9), (20, 12, 8, 5, 3))
"""By level: largest first term, first difference, second difference and so on."""
LEVELS = range(1, len(LARGEST) + 1)


def generate(rng: random.Random, *, level: int = 2) -> Problem:
    """Draw a sequence such as `2,5,10,?`."""
    check_range("level", level, LEVELS)
    *starts, constant = (rng.randint(1, most) for most in LARGEST[level - 1])
    terms = [constant]
    for start in reversed(starts):
        terms = list(accumulate(terms, initial=start))
    rows, steps = [terms], []
    for _ in starts:
        steps += [f"{later}-{earlier}={later - earlier}" for earlier, later in pairwise(rows[-1])]
        rows.append([later - earlier for earlier, later in pairwise(rows[-1])])
    following = constant
    for row in reversed(rows[:-1]):
        steps.append(f"{row[-1]}+{following}={row[-1] + following}")
        following += row[-1]
    return Problem(",".join(map(str, terms)) + ",?", tuple(steps), str(following))
