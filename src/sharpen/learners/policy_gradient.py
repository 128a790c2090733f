"""Policy gradients over attempts of one turn or many.

An attempt's advantage counts for every token the policy wrote in it; what an environment or tool wrote
carries no loss (the mask follows from the turns' authors). Per token, with r the probability ratio to the
policy that sampled and A the advantage:

    loss = clipped(r, A) + kl * KL(policy || reference)

Ratio level, clips, advantages and normalisation make the published variants of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from sharpen.learners.losses import Level, clipped, kl, log_ratios
from sharpen.learners.on_policy import OnPolicy
from sharpen.learners.sft import Weighted
from sharpen.learners.training import Objective, Tokens

if TYPE_CHECKING:
    from torch import Tensor


class ClippedRatio:
    """The objective; a token's inputs are old and reference log-probability and advantage."""

    def __init__(self, settings: PolicyGradient) -> None:
        self.settings = settings

    def loss(self, tokens: Tokens) -> Tensor:
        """Weighted sum over tokens."""
        how = self.settings
        old, reference, advantage = tokens.inputs.unbind(1)
        ratio = log_ratios(tokens.logprobs, old, how.level, tokens.documents).exp()
        loss = clipped(ratio, advantage, low=how.clip_low, high=how.clip_high, ceiling=how.ceiling)
        if how.kl:
            loss = loss + how.kl * kl(tokens.logprobs, reference, how.kl_form)
        return (loss * tokens.weights).sum()


class PolicyGradient(OnPolicy):
    """Learn from advantages: an item's weight is its attempt's advantage, of either sign; 0 says nothing."""

    clip_low: float = Field(default=0.2, gt=0, lt=1)
    clip_high: float = Field(default=0.2, gt=0)
    """How far a ratio may leave 1 before it earns nothing more."""
    ceiling: float | None = Field(default=3.0, gt=1)
    """Largest ratio that a token of a bad attempt is pushed down for; none means no limit."""
    level: Level = Level.TOKEN
    """What the ratio is taken of."""
    kl: float = Field(default=0.001, ge=0)
    """Weight of the KL to the reference policy."""

    @property
    def objective(self) -> Objective:
        """Clipped ratio and KL."""
        return ClippedRatio(self)

    def knowledge(self, item: Weighted) -> tuple[float, ...] | None:
        """The advantage."""
        return (item.weight,) if item.weight else None
