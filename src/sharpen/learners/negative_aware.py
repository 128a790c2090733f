"""Likelihood training that learns from wrong attempts too, through the policy that is implied to make them.

Per token, by whether its attempt is right, with r the share of its group that is right (see
`losses.negative_aware`), weighted by omega(r).
"""

from __future__ import annotations

from enum import StrEnum
from math import sqrt
from typing import TYPE_CHECKING, Protocol

from pydantic import Field

from sharpen.core.attempt import Attempt
from sharpen.learners.losses import Level, kl, log_ratios, negative_aware
from sharpen.learners.on_policy import OnPolicy
from sharpen.learners.training import Objective, Tokens

if TYPE_CHECKING:
    from torch import Tensor

CLOSEST = 0.02
"""A rate is kept this far from 0 and 1."""


class Omega(StrEnum):
    """How much a group counts by its rate r of right attempts."""

    ONE = "one"
    LINEAR = "linear"
    """1 - r: on-policy, the gradient of centred rewards."""
    ROOT = "root"
    """sqrt((1 - r) / r): on-policy, the gradient of standardised rewards."""

    def at(self, rate: float) -> float:
        """The factor."""
        match self:
            case Omega.ONE:
                return 1.0
            case Omega.LINEAR:
                return 1.0 - rate
            case Omega.ROOT:
                return sqrt((1.0 - rate) / rate)


class Graded(Protocol):
    """An attempt, whether it is right, and the share of right ones in its group."""

    @property
    def attempt(self) -> Attempt:
        """What was tried."""

    @property
    def right(self) -> bool:
        """The verifier's word."""

    @property
    def rate(self) -> float:
        """Share of the group that is right, in (0, 1)."""


class ImpliedNegatives:
    """The objective; a token's inputs are old and reference log-probability, right, rate, omega."""

    def __init__(self, settings: NegativeAware) -> None:
        self.settings = settings

    def loss(self, tokens: Tokens) -> Tensor:
        """Weighted sum over tokens."""
        how = self.settings
        old, reference, right, rate, omega = tokens.inputs.unbind(1)
        ratio = log_ratios(tokens.logprobs, old, how.level, tokens.documents)
        loss = omega * negative_aware(ratio, right, rate, floor=how.floor, negative=how.negative)
        if how.kl:
            loss = loss + how.kl * kl(tokens.logprobs, reference, how.kl_form)
        return (loss * tokens.weights).sum()


class NegativeAware(OnPolicy):
    """Learn from right and wrong attempts of groups that are neither all right nor all wrong."""

    omega: Omega = Omega.LINEAR
    """Weight of a group."""
    negative: float = Field(default=1.0, ge=0)
    """Weight of wrong attempts; 0 learns from right ones alone."""
    floor: float = Field(default=1.0, gt=0, le=1)
    """Smallest z whose logarithm is taken (eps): bounds how hard a wrong token is pushed down."""
    level: Level = Level.TOKEN
    """What the ratio is taken of."""

    @property
    def objective(self) -> Objective:
        """Likelihood of right attempts and implied likelihood of wrong ones."""
        return ImpliedNegatives(self)

    def knowledge(self, item: Graded) -> tuple[float, ...] | None:
        """Right, rate and omega; None for groups that are all alike, and for wrong ones without weight."""
        if not 0 < item.rate < 1 or not (item.right or self.negative):
            return None
        rate = min(max(item.rate, CLOSEST), 1 - CLOSEST)
        return (float(item.right), rate, self.omega.at(rate))
