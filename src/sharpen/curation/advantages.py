"""Advantages from rewards: how much better an attempt is than its peers, in plain Python.

An attempt without a reward (its judge failed) counts in no mean and gets 0. Sources (arXiv): group-relative
2402.03300, centred 2503.20783, leave-one-out 2402.14740, batch-standardised 2501.03262.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import sqrt

EPSILON = 1e-6


def group_advantages(tasks: Sequence[str], rewards: Sequence[float | None]) -> tuple[float, ...]:
    """(reward - mean) / (standard deviation + 1e-6) within each task's group; 0 where all are equal."""
    groups = _groups(tasks, rewards)
    return tuple(
        0.0 if reward is None else _standardised(reward, groups[task])
        for task, reward in zip(tasks, rewards, strict=True)
    )


def centred(tasks: Sequence[str], rewards: Sequence[float | None]) -> tuple[float, ...]:
    """reward - mean within each task's group: no division, so that hard and easy groups do not weigh more."""
    groups = _groups(tasks, rewards)
    return tuple(
        0.0 if reward is None else reward - sum(groups[task]) / len(groups[task])
        for task, reward in zip(tasks, rewards, strict=True)
    )


def leave_one_out(tasks: Sequence[str], rewards: Sequence[float | None]) -> tuple[float, ...]:
    """reward - mean of the *other* rewards of the group; 0 for an attempt without peers."""
    groups = _groups(tasks, rewards)
    return tuple(
        0.0
        if reward is None or len(groups[task]) < 2
        else reward - (sum(groups[task]) - reward) / (len(groups[task]) - 1)
        for task, reward in zip(tasks, rewards, strict=True)
    )


def batch_standardised(tasks: Sequence[str], rewards: Sequence[float | None]) -> tuple[float, ...]:
    """Centred within groups, then standardised over the whole batch; 0 where all are equal."""
    middle = centred(tasks, rewards)
    known = [value for value, reward in zip(middle, rewards, strict=True) if reward is not None]
    return tuple(
        0.0 if reward is None else _standardised(value, known)
        for value, reward in zip(middle, rewards, strict=True)
    )


def _groups(tasks: Sequence[str], rewards: Sequence[float | None]) -> dict[str, list[float]]:
    groups: dict[str, list[float]] = defaultdict(list)
    for task, reward in zip(tasks, rewards, strict=True):
        if reward is not None:
            groups[task].append(reward)
    return groups


def _standardised(value: float, group: Sequence[float]) -> float:
    if len(set(group)) == 1:
        return 0.0
    mean = sum(group) / len(group)
    spread = sqrt(sum((other - mean) ** 2 for other in group) / (len(group) - 1))
    return (value - mean) / (spread + EPSILON)
