"""Learning from pairs of attempts at one task, of which one is preferred.

A pair's loss is of one of the shapes in `preference_losses`, plus `likelihood` times the negative
log-likelihood per token of the better one; averaged over pairs. Pairs that refine an earlier answer may have
another shape: with as many of them as of others, and a = `refinement`, the loss is
(1 - a) mean(others) + a mean(refining).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Self

from pydantic import Field, model_validator

from sharpen.core.attempt import Attempt
from sharpen.core.errors import BadInput
from sharpen.core.policy import Policy
from sharpen.core.updater import Updated, Workbench
from sharpen.curation.pairs import Pair, Pairs, Span
from sharpen.learners.batch import Batch, Example, example_from
from sharpen.learners.losses import per_document
from sharpen.learners.preference_losses import LOSSES, WITHOUT_REFERENCE, Pairing, Shape, Side
from sharpen.learners.reference import Compared
from sharpen.learners.spans import after_text, divergence, masked_before
from sharpen.learners.training import Objective, Tokens, trainable

if TYPE_CHECKING:
    from torch import Tensor

    from sharpen.models.hf import HFModel


class Facts(NamedTuple):
    """What the objective knows of a pair; each token of it says so after its reference log-probability."""

    margin: float = 1.0
    label: float = 1.0
    refines: float = 0.0


class PairLoss:
    """The objective; a token's inputs are its reference log-probability and the pair's facts."""

    def __init__(self, settings: Preference) -> None:
        self.settings = settings

    def loss(self, tokens: Tokens) -> Tensor:
        """Sum over pairs, each of two neighbouring documents."""
        how, numbers = self.settings, tokens.documents
        length = per_document(tokens.weights.new_ones(len(numbers)), numbers)
        reference, *facts = (per_document(column, numbers) for column in tokens.inputs.unbind(1))
        logprob, weight = per_document(tokens.logprobs, numbers), per_document(tokens.weights, numbers)
        margin, label, refines = ((fact / length)[::2] for fact in facts)
        better = Side(logprob[::2], reference[::2], length[::2])
        worse = Side(logprob[1::2], reference[1::2], length[1::2])
        label = label * (1 - how.smoothing) + (1 - label) * how.smoothing
        pairs = Pairing(better, worse, label, margin, how.beta, how.gamma)
        again = refines > 0.5
        losses = -how.likelihood * better.per_token
        losses = losses.masked_scatter(~again, losses[~again] + LOSSES[how.shape](some(pairs, ~again)))
        losses = losses.masked_scatter(again, losses[again] + LOSSES[how.refining](some(pairs, again)))
        return (losses * (weight / length)[::2]).sum()


def some(pairs: Pairing, which: Tensor) -> Pairing:
    """The pairs that a mask [n] keeps."""
    better, worse = (Side(*(values[which] for values in side)) for side in (pairs.better, pairs.worse))
    return pairs._replace(better=better, worse=worse, label=pairs.label[which], margin=pairs.margin[which])


class Preference(Compared):
    """Learn pairs; `batch_size` counts pairs."""

    shape: Shape = Shape.SIGMOID
    """What is asked of a pair."""
    refining: Shape = Shape.REFINING
    """What is asked of a pair that refines an earlier answer."""
    refinement: float = Field(default=0.5, ge=0, le=1)
    """Weight of pairs that refine, against that of others; at 0.5 they count alike."""
    beta: float = Field(default=0.1, gt=0)
    """How strongly the policy is held to the reference; without one, how sharp the comparison is."""
    gamma: float = Field(default=0.5, ge=0)
    """Margin of the shape simpo."""
    smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """Chance that a label is wrong, on top of what the pairs say."""
    likelihood: float = Field(default=0.0, ge=0)
    """Weight of the better one's negative log-likelihood per token."""

    @model_validator(mode="after")
    def _finite(self) -> Self:
        if Shape.EXO in (self.shape, self.refining) and not self.smoothing:
            raise BadInput(
                "smoothing", 0.0, "makes the shape exo infinite", remedy="give a small one, such as 0.005"
            )
        return self

    @property
    def objective(self) -> Objective:
        """The pair loss."""
        return PairLoss(self)

    def update(self, work: Workbench, policy: Policy, batch: Pairs) -> Updated:
        """Train the policy's model; BadInput for a pair of different tasks or without words."""
        model = trainable(work.models, policy.model)
        spanned = [pair_examples(pair, model) for pair in batch.items]
        plain = [example for both in spanned for example in both]
        if {self.shape, self.refining} <= WITHOUT_REFERENCE:
            known = [(0.0,) * len(example.response_ids) for example in plain]
        else:
            known = self.known(work, policy, model, plain)
        linked = [
            example
            for place, (pair, both) in enumerate(zip(batch.items, spanned, strict=True))
            for example in linked_pair(
                both,
                known[2 * place : 2 * place + 2],
                Facts(pair.margin, pair.label, float(pair.refines)),
                link=f"pair {place}",
                weight=2 * (self.refinement if pair.refines else 1 - self.refinement),
            )
        ]
        return self.fitted(work, policy, model, Batch(tuple(linked)))


def checked(pair: Pair) -> tuple[Attempt, Attempt]:
    """Both attempts of a pair."""
    if pair.better.task != pair.worse.task:
        raise BadInput(
            "pair", (pair.better.task, pair.worse.task), "is of two tasks", remedy="pair within a group"
        )
    return pair.better, pair.worse


def pair_examples(pair: Pair, model: HFModel) -> tuple[Example, Example]:
    """Both attempts as examples, with loss on the pair's span; BadInput if one of them has none left."""
    better, worse = (example_from(attempt, model) for attempt in checked(pair))
    if pair.span is Span.DIVERGING:
        start = divergence(better.response_ids, worse.response_ids)
        better, worse = masked_before(better, start), masked_before(worse, start)
    elif pair.span is Span.AFTER:
        better, worse = (
            masked_before(one, after_text(one.response_ids, model.text.texts, pair.marker))
            for one in (better, worse)
        )
    if not (better.trained_tokens and worse.trained_tokens):
        raise BadInput(
            "pair", pair.better.task, "has an attempt without trained tokens", remedy="leave it out"
        )
    return better, worse


def linked_pair(
    examples: Sequence[Example],
    references: Sequence[Sequence[float]],
    facts: Facts,
    *,
    link: str,
    weight: float = 1.0,
) -> list[Example]:
    """The two examples of a pair with what the objective knows of each of their tokens."""
    return [
        example._replace(inputs=tuple((known, *facts) for known in row), link=link, weight=weight)
        for example, row in zip(examples, references, strict=True)
    ]
