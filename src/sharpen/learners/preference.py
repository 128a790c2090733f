"""Learning from pairs of attempts at one task, of which one is preferred.

With d(y) = log p(y) - log p_ref(y), summed over the tokens that carry loss, a pair's loss is

    SIGMOID   -log sigmoid(beta (d(better) - d(worse)))                   (arXiv 2305.18290)
    SQUARED   (beta (d(better) - d(worse)) - margin)^2                    (arXiv 2404.16767)

plus `likelihood` times the negative log-likelihood per token of the better one; averaged over pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import Field

from sharpen.core.artifact import Artifact
from sharpen.core.attempt import Attempt
from sharpen.core.errors import BadInput
from sharpen.core.policy import Policy
from sharpen.core.records import Record
from sharpen.core.updater import Updated, Workbench
from sharpen.learners.batch import Batch, Example, example_from
from sharpen.learners.losses import per_document
from sharpen.learners.training import (
    WEIGHTS_FILE,
    Normalisation,
    Objective,
    Start,
    Tokens,
    Training,
    stored_file,
    trainable,
)

if TYPE_CHECKING:
    from torch import Tensor


class Shape(StrEnum):
    """What is asked of a pair."""

    SIGMOID = "sigmoid"
    """That the better one gains on the worse one."""
    SQUARED = "squared"
    """That it gains by the margin."""


class Pair(Record):
    """Two attempts at one task, the preferred one first."""

    better: Attempt
    worse: Attempt
    margin: float = 1.0
    """Difference of their rewards."""


class Pairs(Record):
    """Pairs, in order."""

    items: tuple[Pair, ...]


class PairLoss:
    """The objective; a token's inputs are its reference log-probability and the pair's margin."""

    def __init__(self, settings: Preference) -> None:
        self.settings = settings

    def loss(self, tokens: Tokens) -> Tensor:
        """Sum over pairs, each of two neighbouring documents."""
        from torch.nn.functional import logsigmoid

        how = self.settings
        reference, margins = tokens.inputs.unbind(1)
        ones = tokens.weights.new_ones(len(tokens.weights))
        lengths = per_document(ones, tokens.documents)
        leads = per_document(tokens.logprobs - reference, tokens.documents).view(-1, 2)
        gap = how.beta * (leads[:, 0] - leads[:, 1])
        if how.shape is Shape.SIGMOID:
            loss = -logsigmoid(gap)
        else:
            loss = (gap - (per_document(margins, tokens.documents) / lengths).view(-1, 2)[:, 0]).square()
        if how.likelihood:
            spoken = per_document(tokens.logprobs, tokens.documents) / lengths
            loss = loss - how.likelihood * spoken.view(-1, 2)[:, 0]
        return loss.sum()


class Preference(Training):
    """Learn pairs; `batch_size` counts pairs."""

    shape: Shape = Shape.SIGMOID
    """What is asked of a pair."""
    beta: float = Field(default=0.1, gt=0)
    """How strongly the policy is held to the reference."""
    likelihood: float = Field(default=0.0, ge=0)
    """Weight of the better one's negative log-likelihood per token."""
    reference: Artifact | None = None
    """Weights of the reference policy; none means the base model."""
    normalisation: Normalisation = Normalisation.UNIT
    start: Start = Start.PREVIOUS

    @property
    def objective(self) -> Objective:
        """The pair loss."""
        return PairLoss(self)

    def update(self, work: Workbench, policy: Policy, batch: Pairs) -> Updated:
        """Train the policy's model; BadInput for a pair of different tasks or without words."""
        model = trainable(work.models, policy.model)
        attempts = [one for pair in batch.items for one in checked(pair)]
        examples = [example_from(attempt, model) for attempt in attempts]
        with work.stopwatch:
            model.load(stored_file(work.store, self.reference, WEIGHTS_FILE))
            known = model.logprobs([(example.prompt_ids, example.response_ids) for example in examples])
        linked = [
            _linked(example, row, batch.items[place // 2].margin, f"pair {place // 2}")
            for place, (example, row) in enumerate(zip(examples, known, strict=True))
        ]
        return self.fitted(work, policy, model, Batch(tuple(linked)))


def checked(pair: Pair) -> Iterable[Attempt]:
    """Both attempts of a pair."""
    if pair.better.task != pair.worse.task:
        raise BadInput(
            "pair", (pair.better.task, pair.worse.task), "is of two tasks", remedy="pair within a group"
        )
    return pair.better, pair.worse


def _linked(example: Example, reference: Sequence[float], margin: float, link: str) -> Example:
    if not example.trained_tokens:
        raise BadInput("pair", link, "has an attempt without trained tokens", remedy="leave it out")
    return example._replace(inputs=tuple((known, margin) for known in reference), link=link)
