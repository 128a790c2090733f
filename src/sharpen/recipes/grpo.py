"""GRPO: policy gradients with the group as the baseline.

Paper: "DeepSeekMath: Pushing the Limits of Mathematical Reasoning in Open Language Models", arXiv 2402.03300,
section 4.1. Each round draws a group of G answers to every question and maximises, per token, with rho the
probability ratio to the policy that drew them,

    min(rho A, clip(rho, 1 - eps, 1 + eps) A) - beta KL(pi || pi_ref),    A_i = (r_i - mean r) / std r,

averaged over the tokens of an answer, then over answers. Other published forms are settings: Dr. GRPO (arXiv
2503.20783) is `advantage = "centred"`, `normalisation = "constant"`; GSPO (2507.18071) `ratio =
"sequence_mean"`; RLOO (2402.14740) `advantage = "leave_one_out"`, `ratio = "sequence"`; REINFORCE++
(2501.03262) `advantage = "batch"`.

Changed: groups that are all right or all wrong, whose advantage is zero, are left out of the KL term and of
the mean. Left out: process supervision, learned rewards, refreshing pi_ref.

Expected: held-out accuracy rises over rounds. Ablation: `labels = "shuffled"` deals the verdicts of each
group anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from pydantic import Field

from sharpen.core.attempt import Attempt
from sharpen.core.policy import Policy
from sharpen.core.recipe import Need, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run
from sharpen.core.task import Channel, TaskSet
from sharpen.core.verdict import Verdict
from sharpen.curation.advantages import batch_standardised, centred, group_advantages, leave_one_out
from sharpen.curation.batch import Batch
from sharpen.curation.groups import Labels, advantaged, gathered, labelled
from sharpen.curation.select import rewards_of
from sharpen.learners.losses import Level
from sharpen.learners.policy_gradient import PolicyGradient
from sharpen.learners.training import Normalisation
from sharpen.tasks.settings import GROUPS, GROUPS_DEMO, SMALL, WORDS


class Advantage(StrEnum):
    """What a reward is compared with."""

    GROUP = "group"
    """Mean and standard deviation of the group."""
    CENTRED = "centred"
    """Mean of the group."""
    LEAVE_ONE_OUT = "leave_one_out"
    """Mean of the others of the group."""
    BATCH = "batch"
    """Mean of the group, standard deviation of the round."""


ESTIMATORS = {
    Advantage.GROUP: group_advantages,
    Advantage.CENTRED: centred,
    Advantage.LEAVE_ONE_OUT: leave_one_out,
    Advantage.BATCH: batch_standardised,
}


class Config(Record):
    """Settings of GRPO."""

    iterations: int = Field(default=8, ge=1)
    """Rounds."""
    prompts: int = Field(default=64, ge=1)
    """Questions per round."""
    group: int = Field(default=8, ge=2)
    """Answers per question (G = 64)."""
    mini_batch: int = Field(default=64, ge=1)
    """Answers per optimizer step."""
    lr: float | None = Field(default=None, gt=0)
    """Learning rate; none means the learner's default for the model's size."""
    eps: float = Field(default=0.2, gt=0, lt=1)
    """How far a ratio may leave 1."""
    beta: float = Field(default=0.04, ge=0)
    """Weight of the KL to the start policy."""
    advantage: Advantage = Advantage.GROUP
    """The estimator."""
    ratio: Level = Level.TOKEN
    """Whether rho is a token's or a whole answer's."""
    normalisation: Normalisation = Normalisation.SEQUENCE
    """What a step's loss is divided by."""
    labels: Labels = Labels.TRUE
    """`shuffled` is the ablation."""


def group_relative(attempts: Sequence[Attempt], verdicts: Sequence[Verdict], advantage: Advantage) -> Batch:
    """Answers weighted by their advantages."""
    return advantaged(attempts, rewards_of(verdicts), ESTIMATORS[advantage])


@recipe(
    paper="arXiv 2402.03300",
    improves="weights",
    sees=Channel.LABEL,
    needs=(Need.LOGPROBS, Need.TRAIN),
    acts=WORDS,
    home=GROUPS,
    small=SMALL.at(iterations=2, prompts=6, group=4, mini_batch=16),
    demo=GROUPS_DEMO.at(iterations=3),
    ablation={"labels": "shuffled"},
    claim="Rewards compared within groups of one's own answers raise held-out accuracy.",
)
def grpo(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Rollout, compare, one pass of clipped policy gradient."""
    learner = PolicyGradient(
        epochs=1,
        batch_size=config.mini_batch,
        lr=config.lr,
        clip_low=config.eps,
        clip_high=config.eps,
        kl=config.beta,
        reference=policy.weights,
        level=config.ratio,
        normalisation=config.normalisation,
    )
    for it in run.iterations(config.iterations):
        groups = gathered(it, policy, tasks.train, groups=config.prompts, samples=config.group)
        batch = it.curate(group_relative, *labelled(groups, config.labels), config.advantage)
        it.measure(mixed=len(groups.rates))
        candidate = it.update(learner, policy, batch)
        policy = it.gate(candidate, incumbent=policy, tasks=tasks.val)
    return policy
