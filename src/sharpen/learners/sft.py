"""Supervised fine-tuning: the weighted log-likelihood of what was written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from sharpen.core.attempt import Attempt
from sharpen.core.policy import Policy
from sharpen.core.updater import Updated, Workbench
from sharpen.learners.batch import Batch, example_from
from sharpen.learners.training import OPTIMIZER_FILE as OPTIMIZER_FILE
from sharpen.learners.training import WEIGHTS_FILE as WEIGHTS_FILE
from sharpen.learners.training import Carry as Carry
from sharpen.learners.training import Objective, Tokens, Training, trainable
from sharpen.learners.training import Schedule as Schedule
from sharpen.learners.training import Start as Start
from sharpen.learners.training import TrainReport as TrainReport
from sharpen.learners.training import train as train

if TYPE_CHECKING:
    from torch import Tensor


class Weighted(Protocol):
    """An attempt and how much it counts."""

    @property
    def attempt(self) -> Attempt:
        """What was tried."""

    @property
    def weight(self) -> float:
        """Factor of its loss."""


class Curated(Protocol):
    """What a curator hands over."""

    @property
    def items(self) -> Iterable[Weighted]:
        """In order."""


class Likelihood:
    """Minus the weighted log-likelihood."""

    def loss(self, tokens: Tokens) -> Tensor:
        """Sum of -weight * log p."""
        return -(tokens.logprobs * tokens.weights).sum()


class SFT(Training):
    """Learn to write what the batch's attempts hold."""

    @property
    def objective(self) -> Objective:
        """The weighted negative log-likelihood."""
        return Likelihood()

    def update(self, work: Workbench, policy: Policy, batch: Curated) -> Updated:
        """Train the policy's model on the batch's attempts."""
        model = trainable(work.models, policy.model)
        examples = (example_from(item.attempt, model, weight=item.weight) for item in batch.items)
        return self.fitted(work, policy, model, Batch(tuple(examples)))
