"""How good the scores of a reward model are, held against what is right: order and calibration."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from sharpen.curation.rankings import agreement

BINS = 10


def sigmoid(score: float) -> float:
    """1 / (1 + exp(-score)), for any score."""
    return 0.5 + 0.5 * math.tanh(score / 2)


def brier(right: Sequence[bool], chances: Sequence[float]) -> float:
    """Mean squared difference between chance and truth; ValueError if there are none."""
    pairs = list(zip(right, chances, strict=True))
    if not pairs:
        raise ValueError("no chances")
    return sum((chance - ok) ** 2 for ok, chance in pairs) / len(pairs)


def calibration_error(right: Sequence[bool], chances: Sequence[float], *, bins: int = BINS) -> float:
    """Mean gap between a bin's chance and its share of right ones, weighted by size (arXiv 1706.04599).

    Bins are of equal width. ValueError if there are no chances.
    """
    found: dict[int, list[tuple[bool, float]]] = defaultdict(list)
    for ok, chance in zip(right, chances, strict=True):
        found[min(bins - 1, int(chance * bins))].append((ok, chance))
    if not found:
        raise ValueError("no chances")
    return sum(abs(sum(c - ok for ok, c in pairs)) for pairs in found.values()) / len(right)


def pair_agreement(tasks: Sequence[str], right: Sequence[bool], scores: Sequence[float]) -> float | None:
    """Mean over tasks of the share of (right, wrong) pairs that are in order; None if no task has both."""
    groups: dict[str, list[int]] = defaultdict(list)
    for place, task in enumerate(tasks):
        groups[task].append(place)
    found = [agreement([right[i] for i in some], [scores[i] for i in some]) for some in groups.values()]
    known = [value for value in found if value is not None]
    return sum(known) / len(known) if known else None


def score_quality(tasks: Sequence[str], right: Sequence[bool], scores: Sequence[float]) -> dict[str, float]:
    """Area under the curve over all attempts, agreement within tasks, Brier score and calibration error.

    Chances are sigmoids of scores. What cannot be said of these attempts is left out.
    """
    if not scores:
        return {}
    chances = [sigmoid(score) for score in scores]
    found = {
        "auc": agreement(right, scores),
        "pairs": pair_agreement(tasks, right, scores),
        "brier": brier(right, chances),
        "ece": calibration_error(right, chances),
    }
    return {name: value for name, value in found.items() if value is not None}
