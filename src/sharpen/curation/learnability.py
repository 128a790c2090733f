"""How much there is to learn from a task, seen from one group of attempts by one policy.

All scores are of one group at one time: means over rounds or policies measure something else. Rewards lie in
[0, 1]; attempts whose judge failed have None and do not count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean, pvariance


def known(rewards: Sequence[float | None]) -> list[float]:
    """The rewards that are known, in order."""
    return [reward for reward in rewards if reward is not None]


def return_variance(rewards: Sequence[float | None]) -> float:
    """Population variance of a group's rewards: p (1 - p) for right and wrong, so 0.25 at most.

    0 where fewer than two are known: nothing can be compared.
    """
    values = known(rewards)
    return pvariance(values) if len(values) > 1 else 0.0


def rare_success(rewards: Sequence[float | None]) -> float:
    """1 - the mean reward, but 0 where nothing succeeded: hard, and not too hard."""
    values = known(rewards)
    rate = fmean(values) if values else 0.0
    return 1.0 - rate if rate > 0 else 0.0


def in_band(rewards: Sequence[float | None], low: float, high: float) -> bool:
    """Whether the mean reward lies in [low, high]; a group without known rewards lies in no band."""
    values = known(rewards)
    return bool(values) and low <= fmean(values) <= high


def top2_margin(answers: Sequence[str | None]) -> float:
    """By how much of all votes the most frequent answer leads the next: 1 if all agree, 0 for a tie.

    Needs no reference. None is an attempt without an answer: it has a vote and gives it to nobody.
    """
    votes = [count for _, count in Counter(answer for answer in answers if answer is not None).most_common(2)]
    first, second = (*votes, 0, 0)[:2]
    return (first - second) / len(answers) if answers else 0.0
