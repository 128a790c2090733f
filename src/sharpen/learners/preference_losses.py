"""Losses of preferences as pure functions of what each response sums up to; tensors are [n] with gradient.

With d(y) = log p(y) - log p_ref(y), both summed over the tokens that carry loss, |y| their number, w the
better and l the worse response of a pair, and c the chance that the better one is the better one:

    SIGMOID  -log sigma(beta (d(w) - d(l)))                                      arXiv 2305.18290
    IPO      (d(w)/|w| - d(l)/|l| - 1/(2 beta))^2                                arXiv 2310.12036
    SIMPO    -log sigma(beta (log p(w)/|w| - log p(l)/|l|) - gamma)              arXiv 2405.14734
    ORPO     -beta log sigma(odds(w) - odds(l)), odds of exp(log p / |y|)        arXiv 2403.07691
    EXO      KL(q || (c, 1 - c)), q = sigma(beta (d(w) - d(l)))                  arXiv 2402.00856
    SQUARED  (beta (d(w) - d(l)) - margin)^2                                     arXiv 2404.16767
    REFINING (2 beta (d(w) - d(l)) - (2 c - 1))^2                                after arXiv 2502.05605

Where c < 1, the other five are c times the loss plus 1 - c times that of the pair turned round: soft labels,
conservative DPO. Single responses that are simply good or bad have `desirable` (KTO, arXiv 2402.01306).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

LIKELIEST = -1e-6
"""Mean log-probability above which odds are cut off, so that a certain response cannot make them infinite."""


class Shape(StrEnum):
    """What is asked of a pair."""

    SIGMOID = "sigmoid"
    """That the better one gains on the worse one, as the reference sees both (DPO)."""
    IPO = "ipo"
    """That it gains so much per token, and no more."""
    SIMPO = "simpo"
    """That it is likelier per token, by a margin; no reference."""
    ORPO = "orpo"
    """That its odds are better; no reference. Goes with `likelihood`."""
    EXO = "exo"
    """That the implied preference is the labelled one, by the reverse KL; needs labels below 1."""
    SQUARED = "squared"
    """That it gains by the pair's margin."""
    REFINING = "refining"
    """That it gains by what the label says; for pairs whose prompt shows an earlier answer."""


WITHOUT_REFERENCE = frozenset({Shape.SIMPO, Shape.ORPO})


class Side(NamedTuple):
    """One response of each pair."""

    logprob: Tensor
    """log p, summed."""
    reference: Tensor
    """log p_ref, summed."""
    length: Tensor
    """Number of tokens that carry loss."""

    @property
    def lead(self) -> Tensor:
        """d(y)."""
        return self.logprob - self.reference

    @property
    def per_token(self) -> Tensor:
        """log p / |y|."""
        return self.logprob / self.length


class Pairing(NamedTuple):
    """n pairs and what is asked of them."""

    better: Side
    worse: Side
    label: Tensor
    """c, in [0, 1]."""
    margin: Tensor
    """Difference of rewards."""
    beta: float
    gamma: float

    @property
    def gap(self) -> Tensor:
        """beta (d(w) - d(l))."""
        return self.beta * (self.better.lead - self.worse.lead)


def soft(loss: Callable[[Tensor], Tensor], gap: Tensor, label: Tensor) -> Tensor:
    """The loss of a gap where the label holds, and of its opposite where it does not."""
    return label * loss(gap) + (1 - label) * loss(-gap)


def reluctance(gap: Tensor) -> Tensor:
    """-log sigma(gap)."""
    from torch.nn.functional import logsigmoid

    return -logsigmoid(gap)


def sigmoid(pairs: Pairing) -> Tensor:
    """DPO; conservative where labels are soft."""
    return soft(reluctance, pairs.gap, pairs.label)


def ipo(pairs: Pairing) -> Tensor:
    """IPO, with leads per token as its authors run it."""
    gap = pairs.better.lead / pairs.better.length - pairs.worse.lead / pairs.worse.length
    return soft(lambda value: (value - 1 / (2 * pairs.beta)).square(), gap, pairs.label)


def simpo(pairs: Pairing) -> Tensor:
    """SimPO."""
    gap = pairs.beta * (pairs.better.per_token - pairs.worse.per_token) - pairs.gamma
    return soft(reluctance, gap, pairs.label)


def orpo(pairs: Pairing) -> Tensor:
    """The odds-ratio term of ORPO; its other term is the likelihood of the better response."""
    gap = log_odds(pairs.better.per_token) - log_odds(pairs.worse.per_token)
    return pairs.beta * soft(reluctance, gap, pairs.label)


def log_odds(logprob: Tensor) -> Tensor:
    """log p - log(1 - p)."""
    capped = logprob.clamp(max=LIKELIEST)
    return capped - (-capped.expm1()).log()


def exo(pairs: Pairing) -> Tensor:
    """EXO for two responses; infinite at labels 0 and 1."""
    up, down = -reluctance(pairs.gap), -reluctance(-pairs.gap)
    return up.exp() * (up - pairs.label.log()) + down.exp() * (down - (1 - pairs.label).log())


def squared(pairs: Pairing) -> Tensor:
    """Regression on differences of rewards."""
    return soft(lambda value: (value - pairs.margin).square(), pairs.gap, pairs.label)


def refining(pairs: Pairing) -> Tensor:
    """Regression on the chance to be preferred, scaled to be 1 at the reference where labels are hard."""
    return (2 * pairs.gap - (2 * pairs.label - 1)).square()


LOSSES: Mapping[Shape, Callable[[Pairing], Tensor]] = {
    Shape.SIGMOID: sigmoid,
    Shape.IPO: ipo,
    Shape.SIMPO: simpo,
    Shape.ORPO: orpo,
    Shape.EXO: exo,
    Shape.SQUARED: squared,
    Shape.REFINING: refining,
}


def desirable(lead: Tensor, good: Tensor, drift: Tensor, *, beta: float) -> Tensor:
    """KTO: 1 - sigma(beta (d - drift)) of good responses, 1 - sigma(beta (drift - d)) of bad ones.

    good: 1 or 0; drift: estimate of KL(policy || reference), not negative, without gradient.
    """
    return 1 - ((2 * good - 1) * beta * (lead - drift)).sigmoid()
