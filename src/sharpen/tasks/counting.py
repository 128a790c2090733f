"""How often a letter occurs in a string, with a running count after every letter.

A level sets the length of the string.
"""

from __future__ import annotations

import random
from itertools import accumulate

from sharpen.tasks.base import Problem, check_range

LENGTHS = (5, 8, 12, 18, 28, 40)
LEVELS = range(1, len(LENGTHS) + 1)


def generate(rng: random.Random, *, level: int = 2, letters: int = 4) -> Problem:
    """Draw a question such as `Count a in b a c a b`; `letters` is the size of the alphabet."""
    check_range("level", level, LEVELS)
    check_range("letters", letters, range(2, 27))
    alphabet = "abcdefghijklmnopqrstuvwxyz"[:letters]
    text = rng.choices(alphabet, k=LENGTHS[level - 1])
    wanted = rng.choice(alphabet)
    counts = list(accumulate(int(letter == wanted) for letter in text))
    tally = "".join(f"{letter}{count}" for letter, count in zip(text, counts, strict=True))
    return Problem(f"Count {wanted} in {' '.join(text)}", (tally,), str(counts[-1]))
