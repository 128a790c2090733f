"""Kinds of questions: those whose wording is the same but for what is special to each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

COMMON = 0.05
"""A word that stands in a smaller share of the questions is special to them."""
ALIKE = 0.5
"""Questions whose common words overlap by this share are of one kind."""
MAX_TEXT = 4_000


def kinds(questions: Sequence[str]) -> list[int]:
    """The number of each question's kind; kinds are numbered in the order of their first questions.

    A question is of the first kind whose first question shares at least `ALIKE` of their common words
    (Jaccard). One without words in common with any other is a kind of its own.
    """
    texts = [set(re.findall(r"[^\W\d_]{2,}", question[:MAX_TEXT].lower())) for question in questions]
    counts = Counter(word for text in texts for word in text)
    common = {word for word, count in counts.items() if count > max(1.0, COMMON * len(questions))}
    firsts: list[set[str]] = []
    found = []
    for text in texts:
        shared = text & common
        number = next((i for i, first in enumerate(firsts) if _overlap(first, shared) >= ALIKE), len(firsts))
        if number == len(firsts):
            firsts.append(shared)
        found.append(number)
    return found


def _overlap(left: set[str], right: set[str]) -> float:
    return len(left & right) / len(left | right) if left | right else 0.0
