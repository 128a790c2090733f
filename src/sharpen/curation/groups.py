"""Groups: several attempts of one task by one policy, and what a learner is told of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from statistics import mean
from typing import NamedTuple, TypeVar

from sharpen.core.attempt import Attempt
from sharpen.core.policy import Policy
from sharpen.core.records import Record
from sharpen.core.run import Scope
from sharpen.core.seeds import random_for
from sharpen.core.task import Task
from sharpen.core.verdict import Verdict
from sharpen.curation.batch import Batch, Item
from sharpen.curation.select import rewards_of, taken

T = TypeVar("T")
Rewards = tuple[float | None, ...]
Estimator = Callable[[Sequence[str], Sequence[float | None]], tuple[float, ...]]
"""Advantages from tasks and rewards; see `sharpen.curation.advantages`."""


class Labels(StrEnum):
    """Whose verdicts an attempt gets."""

    TRUE = "true"
    SHUFFLED = "shuffled"
    """Some other attempt's of its group, which takes away what can be learnt; for ablations."""


class Graded(Record):
    """An attempt, whether it is right, and the share of right ones in its group."""

    attempt: Attempt
    right: bool
    rate: float


class GradedBatch(Record):
    """Graded attempts, in order."""

    items: tuple[Graded, ...]


class Groups(NamedTuple):
    """Attempts with their verdicts, grouped by task."""

    attempts: tuple[Attempt, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def rewards(self) -> Rewards:
        """The verifier's values; None where it failed."""
        return rewards_of(self.verdicts)

    @property
    def rates(self) -> dict[str, float]:
        """Mean reward of each task's attempts; tasks without any known one are left out."""
        known: dict[str, list[float]] = defaultdict(list)
        for attempt, reward in zip(self.attempts, self.rewards, strict=True):
            if reward is not None:
                known[attempt.task].append(reward)
        return {task: mean(values) for task, values in known.items()}

    @property
    def mixed(self) -> Groups:
        """The groups that are neither all right nor all wrong: others have nothing to compare."""
        return self.only(task for task, rate in self.rates.items() if 0.0 < rate < 1.0)

    def only(self, tasks: Iterable[str]) -> Groups:
        """The groups of these tasks."""
        kept = set(tasks)
        places = [place for place, attempt in enumerate(self.attempts) if attempt.task in kept]
        return Groups(
            tuple(self.attempts[place] for place in places), tuple(self.verdicts[place] for place in places)
        )


def gathered(
    it: Scope, policy: Policy, tasks: Sequence[Task], *, groups: int, samples: int, draws: int = 1
) -> Groups:
    """Attempts at `groups` tasks whose outcomes are mixed, drawing as many tasks up to `draws` times.

    The rounds go through the tasks in order, from the start again at the end. Dynamic sampling of arXiv
    2503.14476.
    """
    found = Groups((), ())
    for draw in range(draws):
        asked = taken(tasks, (it.round - 1) * draws + draw + 1, groups)
        attempts = it.attempt(policy, asked, samples=samples)
        fresh = Groups(attempts, it.judge(attempts, asked)).mixed
        found = Groups(found.attempts + fresh.attempts, found.verdicts + fresh.verdicts)
        if len(found.rates) >= groups:
            break
    return found.only(list(found.rates)[:groups])


def labelled(groups: Groups, labels: Labels) -> Groups:
    """The groups with true verdicts, or with verdicts that are dealt out anew within each group."""
    if labels is Labels.TRUE:
        return groups
    places: dict[str, list[int]] = defaultdict(list)
    for place, attempt in enumerate(groups.attempts):
        places[attempt.task].append(place)
    dealt = list(groups.verdicts)
    for task, own in places.items():
        order = list(own)
        random_for("labels", task, groups.attempts[own[0]].round).shuffle(order)
        for place, other in zip(own, order, strict=True):
            dealt[place] = groups.verdicts[other]
    return groups._replace(verdicts=tuple(dealt))


def graded(attempts: Sequence[Attempt], verdicts: Sequence[Verdict]) -> GradedBatch:
    """Attempts with right or wrong and the rate of their group; those without a verdict are left out."""
    groups = Groups(tuple(attempts), tuple(verdicts))
    rates = groups.rates
    return GradedBatch(
        items=tuple(
            Graded(attempt=attempt, right=reward > 0.5, rate=rates[attempt.task])
            for attempt, reward in zip(attempts, groups.rewards, strict=True)
            if reward is not None
        )
    )


def grouped(rows: Sequence[T], size: int) -> list[Sequence[T]]:
    """Rows that stand group by group, cut into groups of this size."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def advantaged(attempts: Sequence[Attempt], rewards: Sequence[float | None], estimator: Estimator) -> Batch:
    """Attempts weighted by their advantages."""
    advantages = estimator([attempt.task for attempt in attempts], rewards)
    return Batch(items=tuple(Item(attempt=a, weight=w) for a, w in zip(attempts, advantages, strict=True)))
