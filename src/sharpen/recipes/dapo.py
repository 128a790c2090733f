"""DAPO: group-relative policy gradients with unequal clips, dynamic sampling and a price on length.

Paper: "DAPO: An Open-Source LLM Reinforcement Learning System at Scale", arXiv 2503.14476. Per token, with
rho the probability ratio to the policy that drew it and A_i = (R_i - mean R) / std R in its group,

    loss = -min(rho A, clip(rho, 1 - eps_low, 1 + eps_high) A),    averaged over all tokens of the step,

without KL; eps_high > eps_low leaves room for unlikely tokens to grow. Questions are drawn until enough
groups are neither all right nor all wrong. With n the tokens of an answer, L the most allowed, B a buffer:

    R = (1 if right else -1) - min(max(n - (L - B), 0) / B, 1)

Changed: an answer without a known end (cut off) counts by its tokens like any other. Left out: nothing.

Expected: held-out accuracy rises, about as with equal clips where groups are small. Ablation:
`labels = "shuffled"` deals each group's verdicts anew.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from sharpen.core.attempt import Attempt
from sharpen.core.policy import Policy
from sharpen.core.recipe import Need, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run
from sharpen.core.task import Channel, TaskSet
from sharpen.core.verdict import Verdict
from sharpen.curation.advantages import group_advantages
from sharpen.curation.batch import Batch
from sharpen.curation.groups import Labels, advantaged, gathered, labelled
from sharpen.curation.select import rewards_of
from sharpen.learners.policy_gradient import PolicyGradient
from sharpen.tasks.settings import GROUPS, GROUPS_DEMO, SMALL, WORDS


class Config(Record):
    """Settings of DAPO."""

    iterations: int = Field(default=8, ge=1)
    """Rounds."""
    prompts: int = Field(default=64, ge=1)
    """Questions per round (512)."""
    group: int = Field(default=8, ge=2)
    """Answers per question (G = 16)."""
    draws: int = Field(default=1, ge=1)
    """So often as many questions are drawn at most, until enough groups are mixed."""
    mini_batch: int = Field(default=64, ge=1)
    """Answers per optimizer step (512)."""
    lr: float | None = Field(default=None, gt=0)
    """Learning rate; none means the learner's default for the model's size."""
    eps_low: float = Field(default=0.2, gt=0, lt=1)
    """How far a ratio may fall below 1."""
    eps_high: float = Field(default=0.28, gt=0)
    """How far a ratio may rise above 1."""
    longest: int = Field(default=96, ge=1)
    """Tokens of the longest answer (L)."""
    buffer: int = Field(default=16, ge=1)
    """Tokens before the longest in which length begins to cost (B)."""
    labels: Labels = Labels.TRUE
    """`shuffled` is the ablation."""


def overlong(tokens: int, config: Config) -> float:
    """The price of an answer's length, from 0 to 1 (eq. 13, with the other sign)."""
    return min(max(tokens - (config.longest - config.buffer), 0) / config.buffer, 1.0)


def shaped(attempts: Sequence[Attempt], verdicts: Sequence[Verdict], config: Config) -> Batch:
    """Answers weighted by the advantages of their shaped rewards."""
    rewards = [
        None if value is None else 2 * value - 1 - overlong(attempt.token_count, config)
        for attempt, value in zip(attempts, rewards_of(verdicts), strict=True)
    ]
    return advantaged(attempts, rewards, group_advantages)


@recipe(
    paper="arXiv 2503.14476",
    improves="weights",
    sees=Channel.LABEL,
    needs=(Need.LOGPROBS, Need.TRAIN),
    acts=WORDS,
    home=GROUPS,
    small=SMALL.at(iterations=2, prompts=6, group=4, mini_batch=16),
    demo=GROUPS_DEMO,
    ablation={"labels": "shuffled"},
    claim="Group-relative policy gradients with unequal clips and dynamic sampling raise held-out accuracy.",
)
def dapo(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Dynamic sampling, shaped rewards, one pass of clipped policy gradient."""
    learner = PolicyGradient(
        epochs=1,
        batch_size=config.mini_batch,
        lr=config.lr,
        clip_low=config.eps_low,
        clip_high=config.eps_high,
        ceiling=None,
        kl=0.0,
    )
    for it in run.iterations(config.iterations):
        groups = gathered(
            it, policy, tasks.train, groups=config.prompts, samples=config.group, draws=config.draws
        )
        batch = it.curate(shaped, *labelled(groups, config.labels), config)
        it.measure(mixed=len(groups.rates))
        candidate = it.update(learner, policy, batch)
        policy = it.gate(candidate, incumbent=policy, tasks=tasks.val)
    return policy
