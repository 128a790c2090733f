"""Learning by comparison with a reference policy: which one it is, and what it holds of given responses."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from pydantic import model_validator

from sharpen.core.artifact import Artifact
from sharpen.core.errors import BadInput
from sharpen.core.policy import Policy
from sharpen.core.updater import Workbench
from sharpen.learners.batch import Example
from sharpen.learners.training import WEIGHTS_FILE, Normalisation, Start, Training, stored_file

if TYPE_CHECKING:
    from sharpen.models.hf import HFModel


class Reference(StrEnum):
    """Whose probabilities a learner compares with."""

    BASE = "base"
    """The base model's."""
    PREVIOUS = "previous"
    """Those of the policy as it comes to the update."""
    FIXED = "fixed"
    """Those of given weights."""


class Compared(Training):
    """Training against a reference; a unit of the loss is a pair or a group."""

    reference: Reference = Reference.BASE
    """Whose probabilities the policy is compared with."""
    fixed: Artifact | None = None
    """Weights of the fixed reference; none means the base model."""
    normalisation: Normalisation = Normalisation.UNIT
    start: Start = Start.PREVIOUS

    @model_validator(mode="after")
    def _used(self) -> Self:
        if self.fixed is not None and self.reference is not Reference.FIXED:
            raise BadInput(
                "fixed", self.fixed.version, "is not the reference", remedy="set reference to fixed, too"
            )
        return self

    def known(
        self, work: Workbench, policy: Policy, model: HFModel, examples: Sequence[Example]
    ) -> list[tuple[float, ...]]:
        """Log-probability of every response token under the reference."""
        weights = {Reference.PREVIOUS: policy.weights, Reference.FIXED: self.fixed}.get(self.reference)
        with work.stopwatch:
            model.load(stored_file(work.store, weights, WEIGHTS_FILE))
            return model.logprobs([(example.prompt_ids, example.response_ids) for example in examples])
