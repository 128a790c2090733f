"""NFT: supervised learning that learns from wrong answers too.

Paper: "Bridging Supervised Learning and Reinforcement Learning in Math Reasoning", arXiv 2505.18116. Code:
NVlabs/NFT. With r the share of right answers to a question under the old policy, the policy is trained to be
the part of the old one that is right; the part that is wrong is then implied, and wrong answers are learnt as
its samples. Per token, R = pi / pi_old:

    right: -log R        wrong: -lambda * log max(z, eps),  z = (1 - r R) / (1 - r)

times omega(r), where the maximum has the gradient of z. Each round: K answers to every question, groups that
are all right or all wrong dropped, one pass of mini-batches.

As in the code: r kept within [0.02, 0.98], token losses summed and divided by a constant, eps = 1, old
probabilities computed by the learner. The root form of omega has the root, as in the code; only so is its
on-policy gradient that of standardised rewards (the paper's text prints it without). Changed: mini-batches
are made of single answers, not of questions. Left out: nothing.

Expected: above learning from right answers alone by a few points at equal samples and steps, with more
entropy, and as good as `grpo` and `dapo`. Ablation: `labels = "shuffled"` deals each group's verdicts anew.
"""

from __future__ import annotations

from pydantic import Field

from sharpen.core.policy import Policy
from sharpen.core.recipe import Need, Rival, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run
from sharpen.core.task import Channel, TaskSet
from sharpen.curation.groups import Labels, gathered, graded, labelled
from sharpen.learners.losses import Level
from sharpen.learners.negative_aware import NegativeAware, Omega
from sharpen.learners.training import Normalisation
from sharpen.tasks.settings import GROUPS, GROUPS_DEMO, SMALL, WORDS


class Config(Record):
    """Settings of NFT."""

    iterations: int = Field(default=8, ge=1)
    """Rounds (320)."""
    prompts: int = Field(default=64, ge=1)
    """Questions per round (512)."""
    group: int = Field(default=8, ge=2)
    """Answers per question (K = 16)."""
    draws: int = Field(default=1, ge=1)
    """So often as many questions are drawn at most, until enough groups are mixed (10)."""
    mini_batch: int = Field(default=64, ge=1)
    """Answers per optimizer step (512)."""
    lr: float | None = Field(default=None, gt=0)
    """Learning rate; none means the learner's default for the model's size."""
    neg_weight: float = Field(default=1.0, ge=0)
    """Weight of wrong answers (lambda); 0 learns from right ones alone."""
    eps: float = Field(default=1.0, gt=0, le=1)
    """Floor of z."""
    omega: Omega = Omega.LINEAR
    """Weight of a question by r."""
    ratio: Level = Level.TOKEN
    """Whether R is a token's or a whole answer's."""
    labels: Labels = Labels.TRUE
    """`shuffled` is the ablation."""


@recipe(
    paper="arXiv 2505.18116",
    improves="weights",
    sees=Channel.LABEL,
    needs=(Need.LOGPROBS, Need.TRAIN),
    acts=WORDS,
    home=GROUPS,
    small=SMALL.at(iterations=2, prompts=6, group=4, mini_batch=16),
    demo=GROUPS_DEMO,
    ablation={"labels": "shuffled"},
    claim="Learning from wrong answers as well as right ones beats learning from right ones alone.",
    arms={
        "rft": Rival(recipe="rft"),
        "right answers alone": {"neg_weight": 0.0},
        "grpo": Rival(recipe="grpo"),
        "dapo": Rival(recipe="dapo"),
    },
)
def nft(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Rollout, filter, one pass of likelihood training over right and wrong answers."""
    learner = NegativeAware(
        epochs=1,
        batch_size=config.mini_batch,
        lr=config.lr,
        omega=config.omega,
        negative=config.neg_weight,
        floor=config.eps,
        level=config.ratio,
        normalisation=Normalisation.CONSTANT,
    )
    for it in run.iterations(config.iterations):
        groups = gathered(
            it, policy, tasks.train, groups=config.prompts, samples=config.group, draws=config.draws
        )
        batch = it.curate(graded, *labelled(groups, config.labels))
        it.measure(mixed=len(groups.rates))
        candidate = it.update(learner, policy, batch)
        policy = it.gate(candidate, incumbent=policy, tasks=tasks.val)
    return policy
