"""Forks of a policy: trained on different data, measured, kept or rolled back.

Policies are immutable, so a fork is a new value, and rolling back is going on with the old one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import NamedTuple, TypeVar

from sharpen.core.policy import Policy
from sharpen.core.run import Scope
from sharpen.core.task import Task

D = TypeVar("D")
H = TypeVar("H")


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
    repeats: int,
    train: Callable[[Scope, Policy, D, H], Policy],
    measure: Callable[[Scope, Policy, Sequence[Task]], float],
    how: H,
    tasks: Sequence[Task],
) -> list[Forks]:
    """For each set of data `repeats` forks, trained on it as `how` says and measured on `tasks`.

    Every fork has a scope of its own; gains are over the policy's own measure. ValueError without repeats.
    """
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, not {repeats}")
    before = measure(it.scope("before"), policy, tasks)
    found = []
    for part in data:
        runs = []
        for _ in range(repeats):
            scope = it.scope("fork")
            fork = train(scope, policy, part, how)
            runs.append(Fork(fork, measure(scope, fork, tasks) - before))
        found.append(Forks(tuple(runs)))
    return found
