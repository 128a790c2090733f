"""Learning from single attempts that are good or bad, without pairs: KTO, arXiv 2402.01306.

A good attempt is to gain on the reference by more than the policy drifts from it, a bad one by less. The
drift, an estimate of KL(policy || reference), is the mean lead of other attempts' responses under each prompt
of a group, taken anew at every step, not below 0 and without gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from sharpen.core.policy import Policy
from sharpen.core.seeds import random_for
from sharpen.core.updater import Updated, Workbench
from sharpen.curation.groups import GradedBatch
from sharpen.learners.batch import Batch, Example, example_from
from sharpen.learners.losses import per_document
from sharpen.learners.preference_losses import desirable
from sharpen.learners.reference import Compared
from sharpen.learners.training import Objective, Tokens, trainable

if TYPE_CHECKING:
    from torch import Tensor

BAD, GOOD, OTHER = 0.0, 1.0, 2.0
"""Kinds of documents; the last is a response under another prompt, for the drift."""


class DesirableLoss:
    """The objective; a token's inputs are its reference log-probability, its document's kind and group."""

    def __init__(self, settings: Desirable) -> None:
        self.settings = settings

    def loss(self, tokens: Tokens) -> Tensor:
        """Sum over groups of the mean over their attempts."""
        import torch

        how, numbers = self.settings, tokens.documents
        reference, kinds, groups = tokens.inputs.unbind(1)
        length = per_document(tokens.weights.new_ones(len(numbers)), numbers)
        lead = per_document(tokens.logprobs - reference, numbers)
        kind = (per_document(kinds, numbers) / length).round()
        _, group = torch.unique((per_document(groups, numbers) / length).round(), return_inverse=True)
        other = (kind == OTHER).float()
        drift = per_document(lead.detach() * other, group) / per_document(other, group).clamp(min=1)
        losses = desirable(lead, (kind == GOOD).float(), drift.clamp(min=0)[group], beta=how.beta)
        weight = how.good * (kind == GOOD).float() + how.bad * (kind == BAD).float()
        return (losses * weight / per_document(1 - other, group)[group]).sum()


class Desirable(Compared):
    """Learn good and bad attempts; `batch_size` counts groups of attempts."""

    group: int = Field(default=8, ge=2)
    """Attempts that share an estimate of the drift."""
    batch_size: int = Field(default=2, ge=1)
    beta: float = Field(default=0.1, gt=0)
    """How strongly the policy is held to the reference."""
    good: float = Field(default=1.0, ge=0)
    """Weight of good attempts."""
    bad: float = Field(default=1.0, ge=0)
    """Weight of bad attempts."""

    @property
    def objective(self) -> Objective:
        """The loss of groups."""
        return DesirableLoss(self)

    def update(self, work: Workbench, policy: Policy, batch: GradedBatch) -> Updated:
        """Train the policy's model on attempts in random groups; those without words are left out."""
        model = trainable(work.models, policy.model)
        known = [(example_from(item.attempt, model), item.right) for item in batch.items]
        usable = [(example, right) for example, right in known if example.trained_tokens]
        random_for(work.seed, "groups").shuffle(usable)
        parts = [usable[start : start + self.group] for start in range(0, len(usable), self.group)]
        kinds = [with_others(part, model.context) for part in parts]
        references = iter(self.known(work, policy, model, [e for part in kinds for e, _ in part]))
        linked = [
            example._replace(
                inputs=tuple((x, kind, float(number)) for x in next(references)), link=f"group {number}"
            )
            for number, part in enumerate(kinds)
            for example, kind in part
        ]
        return self.fitted(work, policy, model, Batch(tuple(linked)))


def with_others(
    graded: Sequence[tuple[Example, bool]], context: int = 1 << 30
) -> list[tuple[Example, float]]:
    """A group's examples with their kinds, and each prompt with its neighbour's response where it fits."""
    own = [(example, GOOD if right else BAD) for example, right in graded]
    examples = [example for example, _ in graded]
    before = [*examples[-1:], *examples[:-1]] if len(examples) > 1 else []
    mixed = [
        other._replace(prompt_ids=example.prompt_ids)
        for example, other in zip(examples, before, strict=False)
    ]
    return own + [(one, OTHER) for one in mixed if one.length <= context]
