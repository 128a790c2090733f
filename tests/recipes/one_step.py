"""One optimizer step per round, by either of two losses, on the same draws.

A recipe for a test: both losses have one name, so both draw with the same seeds.
"""

from __future__ import annotations

from enum import StrEnum

from sharpen.core.policy import Policy
from sharpen.core.recipe import recipe
from sharpen.core.records import Record
from sharpen.core.run import Run
from sharpen.core.task import Channel, TaskSet
from sharpen.curation.advantages import group_advantages
from sharpen.curation.groups import advantaged, gathered, graded
from sharpen.curation.select import rewards_of
from sharpen.learners.negative_aware import NegativeAware, Omega
from sharpen.learners.policy_gradient import PolicyGradient
from sharpen.learners.training import Normalisation

ALL = 10_000


class Loss(StrEnum):
    """What is minimised."""

    ROOT = "root"
    GRADIENT = "gradient"


class Config(Record):
    """Settings."""

    loss: Loss = Loss.GRADIENT
    lr: float = 1e-4


@recipe(paper="-", improves="weights", sees=Channel.LABEL)
def one_step(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Three rounds."""
    for it in run.iterations(3):
        groups = gathered(it, policy, tasks.train, groups=24, samples=4)
        if config.loss is Loss.GRADIENT:
            learner = PolicyGradient(
                epochs=1, batch_size=ALL, lr=config.lr, normalisation=Normalisation.CONSTANT, warmup_steps=0
            )
            rewards = rewards_of(groups.verdicts)
            candidate = it.update(learner, policy, advantaged(groups.attempts, rewards, group_advantages))
        else:
            implied = NegativeAware(
                epochs=1,
                batch_size=ALL,
                lr=config.lr,
                omega=Omega.ROOT,
                normalisation=Normalisation.CONSTANT,
                warmup_steps=0,
            )
            candidate = it.update(implied, policy, graded(groups.attempts, groups.verdicts))
        policy = it.gate(candidate, incumbent=policy, tasks=tasks.val)
    return policy
