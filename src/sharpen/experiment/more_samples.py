"""The control of every comparison, as a recipe: nothing is learnt, tasks are answered with several samples.

One run of it gives both controls: the start policy as it is (`before`), and with the samples (`after`).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from pydantic import Field

from sharpen.core.attempt import Attempt
from sharpen.core.policy import Policy
from sharpen.core.recipe import recipe
from sharpen.core.records import Record
from sharpen.core.run import Run, Scope
from sharpen.core.task import Channel, Task, TaskSet
from sharpen.curation.select import rewards_of
from sharpen.curation.voting import best_of, voted


class Choice(StrEnum):
    """Which of the samples is the answer."""

    MAJORITY = "majority"
    """The most frequent one; where nobody has an answer, the first."""
    BEST = "best"
    """The best-judged one: where a method of the comparison sees verdicts when it is tested."""
    FIRST = "first"
    """Any: where attempts have no answers to vote on."""


class Config(Record):
    """Settings of the control."""

    samples: int = Field(default=1, ge=1)
    """Samples per task."""
    temperature: float = Field(default=0.7, gt=0)
    """Their temperature."""
    choice: Choice = Choice.MAJORITY
    """How one of them is chosen."""


def choose(scope: Scope, policy: Policy, tasks: Sequence[Task], config: Config) -> tuple[Attempt, ...]:
    """One attempt per task out of several."""
    attempts = scope.attempt(policy, tasks, samples=config.samples, temperature=config.temperature)
    match config.choice:
        case Choice.MAJORITY:
            return voted(attempts, scope.answers(attempts))
        case Choice.BEST:
            return best_of(attempts, rewards_of(scope.judge(attempts, tasks)))
        case Choice.FIRST:
            return tuple(attempts[:: config.samples])


@recipe(paper="none", improves="nothing", sees=Channel.LABEL, claim="")
def more_samples(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """The start policy, answering with several samples."""
    return run.workflow(policy, choose, config)
