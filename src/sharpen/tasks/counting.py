"""How many vowels there are in a row of letters, with a running count after every letter.

A level sets the length of the row.
"""

from __future__ import annotations

import random
from itertools import accumulate

from sharpen.tasks.base import Problem, check_range

LENGTHS = (5, 8, 12, 18, 28, 40)
LEVELS = range(1, len(LENGTHS) + 1)
ALPHABET = "abcdefghi"
VOWELS = "aei"


def generate(rng: random.Random, *, level: int = 2) -> Problem:
    """Draw a question such as `Count vowels in b a c e b`."""
    check_range("level", level, LEVELS)
    row = rng.choices(ALPHABET, k=LENGTHS[level - 1])
    counts = list(accumulate(int(letter in VOWELS) for letter in row))
    tally = "".join(f"{letter}{count}" for letter, count in zip(row, counts, strict=True))
    return Problem(f"Count vowels in {' '.join(row)}", (tally,), str(counts[-1]))
