"""Losses per token as pure functions of log-probabilities; tensors are [n tokens] and keep their gradient.

Advantages, group statistics and the reduction to one number are somebody else's: see `curation.advantages`
and `Normalisation`. Sources: PPO clipping arXiv 1707.06347, dual clipping 1912.09729, unequal 2503.14476,
sequence ratios 2507.18071 (mean) and 2402.14740 (sum), negative-aware likelihood 2505.18116, KL estimators
Schulman, "Approximating KL divergence" (2020).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

MOST_LOG_RATIO = 20.0
"""Beyond this a log-ratio is cut off, so that one absurd token cannot make the loss infinite."""


class Level(StrEnum):
    """What a probability ratio is taken of."""

    TOKEN = "token"
    SEQUENCE = "sequence"
    """The whole response: log-ratios summed."""
    SEQUENCE_MEAN = "sequence_mean"
    """The whole response: log-ratios averaged over its tokens."""


class KL(StrEnum):
    """Estimator of KL(policy || reference) from samples of the policy."""

    K1 = "k1"
    """log p - log p_ref: unbiased as a number, of high variance; without a useful gradient."""
    K2 = "k2"
    """(log p - log p_ref)^2 / 2: its gradient is that of the KL."""
    K3 = "k3"
    """exp(d) - d - 1 with d = log p_ref - log p: never negative, of low variance."""


def log_ratios(logprobs: Tensor, old: Tensor, level: Level, documents: Tensor) -> Tensor:
    """Log-ratio to the old policy for every token: its own or its response's, clamped to +-20."""
    ratios = logprobs - old
    if level is not Level.TOKEN:
        sums = per_document(ratios, documents)
        if level is Level.SEQUENCE_MEAN:
            sums = sums / per_document(ratios.new_ones(len(ratios)), documents)
        ratios = sums[documents]
    return ratios.clamp(-MOST_LOG_RATIO, MOST_LOG_RATIO)


def per_document(values: Tensor, documents: Tensor) -> Tensor:
    """Sums of values [n] over the tokens of each document [n, numbered from 0]: [documents]."""
    count = int(documents.max()) + 1 if len(documents) else 0
    return values.new_zeros(count).index_add(0, documents, values)


def clipped(
    ratio: Tensor, advantage: Tensor, *, low: float, high: float, ceiling: float | None = None
) -> Tensor:
    """-min(r A, clip(r, 1 - low, 1 + high) A); for A < 0 at most -ceiling * A.

    Without the ceiling a bad attempt's token that was nearly impossible when it was drawn outweighs all
    others once it is a little likelier.
    """
    loss = -(ratio * advantage).minimum(ratio.clamp(1 - low, 1 + high) * advantage)
    if ceiling is None:
        return loss
    return loss.where(advantage >= 0, loss.minimum(-ceiling * advantage))


def negative_aware(
    log_ratio: Tensor, right: Tensor, rate: Tensor, *, floor: float, negative: float = 1.0
) -> Tensor:
    """Likelihood of right responses, and of wrong ones under the policy that is implied to make them.

    right: 1 or 0; rate r in (0, 1): share of the group that is right; R = exp(log_ratio).

        right: -log R        wrong: -negative * log max(z, floor),  z = (1 - r R) / (1 - r)

    where the maximum has the gradient of z, so that a clipped token is still pushed down.
    """
    z = (1 - rate * log_ratio.exp()) / (1 - rate)
    kept = z + (z.clamp(min=floor) - z).detach()
    return -(right * log_ratio + (1 - right) * negative * kept.log())


def kl(logprobs: Tensor, reference: Tensor, form: KL) -> Tensor:
    """KL(policy || reference) of each token by one estimator."""
    lead = (reference - logprobs).clamp(-MOST_LOG_RATIO, MOST_LOG_RATIO)
    match form:
        case KL.K1:
            return -lead
        case KL.K2:
            return lead.square() / 2
        case KL.K3:
            return lead.exp() - lead - 1
