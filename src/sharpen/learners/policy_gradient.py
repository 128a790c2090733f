"""Group-relative policy gradients over attempts of one turn or many.

Attempts of a task form a group; an attempt's advantage is its reward against the group's, and counts for
every token the policy wrote in it. What an environment or tool wrote carries no loss (the mask follows from
the turns' authors). Per token, with r the probability ratio to the policy that sampled and A the advantage:

    loss = -min(r * A, clip(r, 1 - clip_low, 1 + clip_high) * A) + kl * (exp(d) - d - 1),
    d = log p_ref - log p

where the first term is at most -ceiling * A for A < 0 (dual clipping, arXiv 1912.09729): a bad attempt's
token that was nearly impossible when it was drawn would otherwise outweigh all others once it is a little
likelier.

The second term is the low-variance estimator of KL(policy || reference) (Schulman's k3). A step's loss is the
mean over its tokens.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import sqrt
from typing import TYPE_CHECKING

from pydantic import Field

from sharpen.core.artifact import Artifact
from sharpen.core.attempt import TEACHES, Attempt
from sharpen.core.errors import BadInput
from sharpen.core.policy import Policy
from sharpen.core.updater import Updated, Workbench
from sharpen.learners.batch import Batch, Example, example_from
from sharpen.learners.sft import Curated, Weighted
from sharpen.learners.training import (
    WEIGHTS_FILE,
    Carry,
    Objective,
    Schedule,
    Start,
    Training,
    stored_file,
    trainable,
)

if TYPE_CHECKING:
    from torch import Tensor

    from sharpen.models.hf import HFModel

EPSILON = 1e-6
MOST_LOG_RATIO = 20.0
"""Beyond this a ratio is cut off, so that one absurd token cannot make the loss infinite."""


def group_advantages(tasks: Sequence[str], rewards: Sequence[float | None]) -> tuple[float, ...]:
    """(reward - mean) / (standard deviation + 1e-6) within each task's group; 0 where all are equal.

    An attempt without a reward counts in no mean and gets 0.
    """
    groups: dict[str, list[float]] = defaultdict(list)
    for task, reward in zip(tasks, rewards, strict=True):
        if reward is not None:
            groups[task].append(reward)
    return tuple(
        0.0 if reward is None else _advantage(reward, groups[task])
        for task, reward in zip(tasks, rewards, strict=True)
    )


def _advantage(reward: float, group: Sequence[float]) -> float:
    if len(set(group)) == 1:
        return 0.0
    mean = sum(group) / len(group)
    spread = sqrt(sum((other - mean) ** 2 for other in group) / (len(group) - 1))
    return (reward - mean) / (spread + EPSILON)


class ClippedRatio:
    """The objective; its inputs are old log-probability, advantage and reference log-probability."""

    def __init__(self, settings: PolicyGradient) -> None:
        self.low, self.high = 1 - settings.clip_low, 1 + settings.clip_high
        self.ceiling, self.kl = settings.ceiling, settings.kl

    def loss(self, logprobs: Tensor, weights: Tensor, inputs: Tensor) -> Tensor:
        """Weighted sum over tokens; inputs [n, 3]."""
        old, advantage, reference = inputs.unbind(1)
        ratio = (logprobs - old).clamp(-MOST_LOG_RATIO, MOST_LOG_RATIO).exp()
        loss = -(ratio * advantage).minimum(ratio.clamp(self.low, self.high) * advantage)
        loss = loss.where(advantage >= 0, loss.minimum(-self.ceiling * advantage))
        if self.kl:
            lead = (reference - logprobs).clamp(-MOST_LOG_RATIO, MOST_LOG_RATIO)
            loss = loss + self.kl * (lead.exp() - lead - 1)
        return (loss * weights).sum()


class PolicyGradient(Training):
    """Learn from advantages: an item's weight is its attempt's advantage, of either sign.

    Attempts must come with log-probabilities at temperature 1, which are those of the old policy. Those
    without an advantage say nothing and are left out, of the KL term too; if all are, nothing changes.
    """

    clip_low: float = Field(default=0.2, gt=0, lt=1)
    clip_high: float = Field(default=0.2, gt=0)
    """How far a ratio may leave 1 before it earns nothing more."""
    ceiling: float = Field(default=3.0, gt=1)
    """Largest ratio that a token of a bad attempt is pushed down for."""
    kl: float = Field(default=0.001, ge=0)
    """Weight of the KL term."""
    reference: Artifact | None = None
    """Weights of the reference policy; none means the base model."""
    schedule: Schedule = Schedule.CONSTANT
    warmup_steps: int = Field(default=0, ge=0)
    start: Start = Start.PREVIOUS
    optimizer: Carry = Carry.KEEP

    @property
    def objective(self) -> Objective:
        """Clipped ratio and KL."""
        return ClippedRatio(self)

    def update(self, work: Workbench, policy: Policy, batch: Curated) -> Updated:
        """Train the policy's model on attempts with advantages."""
        model = trainable(work.models, policy.model)
        items = [item for item in batch.items if item.weight]
        examples = [example_from(item.attempt, model) for item in items]
        known = self._reference_logprobs(work, model, examples)
        data = (
            with_inputs(example, item, logprobs)
            for example, item, logprobs in zip(examples, items, known, strict=True)
        )
        return self.fitted(work, policy, model, Batch(tuple(data)))

    def _reference_logprobs(
        self, work: Workbench, model: HFModel, examples: Sequence[Example]
    ) -> list[tuple[float, ...]]:
        """Log-probability of every response token under the reference; zeros where nothing needs them."""
        if not self.kl or not examples:
            return [(0.0,) * len(example.response_ids) for example in examples]
        with work.stopwatch:
            model.load(stored_file(work.store, self.reference, WEIGHTS_FILE))
            return model.logprobs([(example.prompt_ids, example.response_ids) for example in examples])


def with_inputs(example: Example, item: Weighted, reference: Sequence[float]) -> Example:
    """The example with old log-probability, advantage and reference log-probability of each token.

    Tokens that carry no loss have zeros, so that nothing about them can matter.
    """
    old = old_logprobs(item.attempt)
    if len(old) != sum(value > 0 for value in example.mask):
        raise BadInput(
            "attempt", item.attempt.task, "has words without tokens", remedy="sample it from a local model"
        )
    remaining = iter(old)
    rows = tuple(
        (next(remaining), item.weight, known) if value > 0 else (0.0, 0.0, 0.0)
        for value, known in zip(example.mask, reference, strict=True)
    )
    return example._replace(inputs=rows)


def old_logprobs(attempt: Attempt) -> list[float]:
    """Log-probabilities of the tokens that carry loss, as sampled; BadInput if they are not known."""
    if attempt.temperature != 1.0:
        raise BadInput(
            "temperature",
            attempt.temperature,
            "the old policy's probabilities are known only at 1",
            remedy="sample attempts at temperature 1",
        )
    found: list[float] = []
    for turn in attempt.turns:
        if turn.author in TEACHES and turn.trained:
            if turn.logprobs is None:
                raise BadInput(
                    "attempt", attempt.task, "has no log-probabilities", remedy="use a local model"
                )
            found += turn.logprobs
    return found
