"""What learners from one's own attempts have in common: old and reference log-probabilities, and their check.

The probabilities of the old policy are computed anew by the learner, so that a ratio starts at exactly 1. How
far the sampler's differ is reported, and a gap that no rounding explains stops the training: then masks,
tokens or weights of sampler and learner are not the same.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import Field

from sharpen.core.artifact import Artifact
from sharpen.core.attempt import TEACHES, Attempt
from sharpen.core.errors import BadInput, SharpenError
from sharpen.core.policy import Policy
from sharpen.core.records import Record
from sharpen.core.updater import Updated, Workbench
from sharpen.learners.batch import Batch, Example, example_from
from sharpen.learners.losses import KL
from sharpen.learners.training import (
    WEIGHTS_FILE,
    Carry,
    Schedule,
    Start,
    Training,
    stored_file,
    trainable,
)

if TYPE_CHECKING:
    from sharpen.models.hf import HFModel


class Judged(Protocol):
    """An attempt and what a learner needs to know of it."""

    @property
    def attempt(self) -> Attempt:
        """What was tried."""


class Attempts(Protocol):
    """What a curator hands over."""

    @property
    def items(self) -> Iterable[Judged]:
        """In order."""


class Gap(Record):
    """How far log-probabilities of sampler and learner are apart, over the tokens that carry loss."""

    tokens: int = 0
    mean: float = 0.0
    largest: float = 0.0


class OnPolicy(Training):
    """Training on attempts with the log-probabilities they were drawn with, at temperature 1."""

    kl: float = Field(default=0.0, ge=0)
    """Weight of the KL to the reference policy."""
    kl_form: KL = KL.K3
    """Its estimator."""
    reference: Artifact | None = None
    """Weights of the reference policy; none means the base model."""
    most_gap: float = Field(default=1e-3, gt=0)
    """Largest mean difference of log-probabilities between sampler and learner."""
    schedule: Schedule = Schedule.CONSTANT
    warmup_steps: int = Field(default=0, ge=0)
    start: Start = Start.PREVIOUS
    optimizer: Carry = Carry.KEEP

    @abstractmethod
    def knowledge(self, item: Any) -> tuple[float, ...] | None:
        """What the objective is told of an item's attempt; None if the item says nothing and is left out."""

    def update(self, work: Workbench, policy: Policy, batch: Attempts) -> Updated:
        """Train the policy's model; items that say nothing are left out, of the KL term too.

        Each token's inputs are: old log-probability, reference log-probability, and the item's knowledge.
        """
        model = trainable(work.models, policy.model)
        known = [(item.attempt, self.knowledge(item)) for item in batch.items]
        told = [(attempt, facts) for attempt, facts in known if facts is not None]
        attempts = [attempt for attempt, _ in told]
        examples = [example_from(attempt, model) for attempt in attempts]
        with work.stopwatch:
            old, gap = self._old(work, policy, model, attempts, examples)
            reference = self._reference(work, model, examples)
        data = (
            with_inputs(example, row, base, facts)
            for example, row, base, (_, facts) in zip(examples, old, reference, told, strict=True)
        )
        updated = self.fitted(work, policy, model, Batch(tuple(data)))
        return updated.model_copy(update={"report": {**updated.report, "gap": gap.model_dump()}})

    def _old(
        self,
        work: Workbench,
        policy: Policy,
        model: HFModel,
        attempts: Sequence[Attempt],
        examples: Sequence[Example],
    ) -> tuple[list[list[float]], Gap]:
        """Old log-probabilities of the tokens with loss: the learner's own, where this policy drew them."""
        sampled = [old_logprobs(attempt) for attempt in attempts]
        for attempt, example, row in zip(attempts, examples, sampled, strict=True):
            if len(row) != sum(value > 0 for value in example.mask):
                raise BadInput(
                    "attempt", attempt.task, "has words without tokens", remedy="sample it from a local model"
                )
        fresh = [place for place, attempt in enumerate(attempts) if attempt.policy == policy.version]
        model.load(stored_file(work.store, policy.weights, WEIGHTS_FILE))
        scored = model.logprobs(
            [(examples[place].prompt_ids, examples[place].response_ids) for place in fresh]
        )
        own = [
            [x for x, value in zip(row, examples[place].mask, strict=True) if value > 0]
            for place, row in zip(fresh, scored, strict=True)
        ]
        gap = gap_between([sampled[place] for place in fresh], own)
        if gap.mean > self.most_gap:
            raise SharpenError(
                f"sampler and learner disagree: log-probabilities differ by {gap.mean:.2g} a token",
                remedy="sample and train with the same weights, tokens and precision, or raise most_gap",
            )
        old = list(sampled)
        for place, row in zip(fresh, own, strict=True):
            old[place] = row
        return old, gap

    def _reference(
        self, work: Workbench, model: HFModel, examples: Sequence[Example]
    ) -> list[tuple[float, ...]]:
        """Log-probability of every response token under the reference; zeros where nothing needs them."""
        if not self.kl or not examples:
            return [(0.0,) * len(example.response_ids) for example in examples]
        model.load(stored_file(work.store, self.reference, WEIGHTS_FILE))
        return model.logprobs([(example.prompt_ids, example.response_ids) for example in examples])


def gap_between(sampled: Sequence[Sequence[float]], own: Sequence[Sequence[float]]) -> Gap:
    """Mean and largest absolute difference of two sets of log-probabilities."""
    apart = [
        abs(a - b) for left, right in zip(sampled, own, strict=True) for a, b in zip(left, right, strict=True)
    ]
    return Gap(tokens=len(apart), mean=sum(apart) / len(apart), largest=max(apart)) if apart else Gap()


def with_inputs(
    example: Example, old: Sequence[float], reference: Sequence[float], facts: Sequence[float]
) -> Example:
    """The example with old and reference log-probability and the facts for each token.

    Tokens that carry no loss have zeros, so that nothing about them can matter.
    """
    remaining = iter(old)
    nothing = (0.0,) * (2 + len(facts))
    rows = tuple(
        (next(remaining), base, *facts) if value > 0 else nothing
        for value, base in zip(example.mask, reference, strict=True)
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
