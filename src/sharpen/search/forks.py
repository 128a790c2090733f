"""Forks of a policy: trained on different data, measured, kept or rolled back.

Policies are immutable, so a fork is a new value, and rolling back is going on with the old one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import NamedTuple, TypeVar

from sharpen.core.policy import Policy
from sharpen.core.run import Scope

D = TypeVar("D")


class Fork(NamedTuple):
    """A fork and by how much it measures more than what it was forked from."""

    policy: Policy
    gain: float


class Forks(NamedTuple):
    """The forks that were trained on one set of data."""

    runs: tuple[Fork, ...]

    @property
    def gain(self) -> float:
        """Mean gain: what the data are worth."""
        return fmean(run.gain for run in self.runs)

    @property
    def median(self) -> Fork:
        """The run of median gain, the lower one of two: one that chance did not favour."""
        return sorted(self.runs, key=lambda run: run.gain)[(len(self.runs) - 1) // 2]


def forked(
    it: Scope,
    policy: Policy,
    data: Sequence[D],
    *,
    repeats: int,
    train: Callable[[Scope, Policy, D], Policy],
    measure: Callable[[Scope, Policy], float],
) -> list[Forks]:
    """For each set of data `repeats` forks of the policy, each trained on it in a scope of its own.

    Gains are over the policy's own measure, taken once. ValueError if repeats is less than 1.
    """
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, not {repeats}")
    before = measure(it.scope("before"), policy)
    found = []
    for part in data:
        runs = []
        for _ in range(repeats):
            scope = it.scope("fork")
            fork = train(scope, policy, part)
            runs.append(Fork(fork, measure(scope, fork) - before))
        found.append(Forks(tuple(runs)))
    return found
