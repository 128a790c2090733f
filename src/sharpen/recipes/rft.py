"""RFT: rejection sampling, then likelihood: the plain baseline of learning from one's own right answers.

Paper: Yuan et al., "Scaling Relationship on Learning Mathematical Reasoning with Large Language Models",
arXiv 2308.01825. Answer every question several times, throw away what is wrong, raise the likelihood of the
rest:

    loss = -sum over right, distinct answers y of log pi(y | x),    averaged over the tokens of a step.

Changed: the paper draws once and trains the pre-trained model on the kept and on its human data; here it is
done by rounds, each from the weights of the last and without human data, as the baseline is used by methods
that learn from wrong answers too (`nft`). Groups that are all right or all wrong are dropped, as there.

Expected: held-out accuracy rises, by about as much as with policy gradients at equal samples on few rounds.
Ablation: `labels = "shuffled"` deals each group's verdicts anew, so that as many, but any answers are kept.
"""

from __future__ import annotations

from pydantic import Field

from sharpen.core.policy import Policy
from sharpen.core.recipe import Need, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run
from sharpen.core.task import Channel, TaskSet
from sharpen.curation.groups import Labels, gathered, labelled
from sharpen.curation.select import right_answers
from sharpen.learners.sft import SFT, Start
from sharpen.tasks.settings import DEMO, GROUPS, SMALL, WORDS


class Config(Record):
    """Settings of RFT."""

    iterations: int = Field(default=8, ge=1)
    """Rounds (1)."""
    prompts: int = Field(default=64, ge=1)
    """Questions per round."""
    group: int = Field(default=8, ge=2)
    """Answers per question (k = 100)."""
    mini_batch: int = Field(default=64, ge=1)
    """Answers per optimizer step."""
    epochs: int = Field(default=1, ge=1)
    """Passes over what is kept (3)."""
    lr: float | None = Field(default=None, gt=0)
    """Learning rate; none means the learner's default for the model's size."""
    labels: Labels = Labels.TRUE
    """`shuffled` is the ablation."""


@recipe(
    paper="arXiv 2308.01825",
    improves="weights",
    sees=Channel.LABEL,
    needs=(Need.TRAIN,),
    acts=WORDS,
    home=GROUPS.at(lr=1.5e-4),
    small=SMALL.at(iterations=2, prompts=6, group=4, mini_batch=16),
    demo=DEMO.on(threads=1).at(iterations=1, prompts=100, group=2, mini_batch=16, epochs=3),
    ablation={"labels": "shuffled"},
    claim="Training on one's own right answers alone raises held-out accuracy.",
)
def rft(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Rollout, reject, raise the likelihood of the rest."""
    c = config
    learner = SFT(epochs=c.epochs, batch_size=c.mini_batch, lr=c.lr, start=Start.PREVIOUS)
    for it in run.iterations(c.iterations):
        groups = labelled(gathered(it, policy, tasks.train, groups=c.prompts, samples=c.group), c.labels)
        batch = it.curate(right_answers, *groups, per_task=c.group)
        candidate = it.update(learner, policy, batch)
        policy = it.gate(candidate, incumbent=policy, tasks=tasks.val)
    return policy
