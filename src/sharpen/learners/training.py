"""What every training of weights has in common: optimizer, schedule, report, the frame of an updater."""

from __future__ import annotations

import math
import shutil
from abc import abstractmethod
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

from pydantic import Field, model_validator

from sharpen.core.artifact import Artifact, ArtifactStore, Kind
from sharpen.core.budget import Usage
from sharpen.core.errors import BadInput
from sharpen.core.policy import Policy
from sharpen.core.records import Record, digest
from sharpen.core.updater import Updated, Workbench, artifact_from
from sharpen.learners.batch import Batch, Example, units
from sharpen.models.base import Capability
from sharpen.models.loading import WEIGHTS_FILE as WEIGHTS_FILE

if TYPE_CHECKING:
    from torch import Tensor

    from sharpen.models.hf import HFModel

OPTIMIZER_FILE = "optimizer.safetensors"
REFERENCE_SIZE = 2e6
REFERENCE_LR = 1.5e-4
LORA_FACTOR = 16.0


class Schedule(StrEnum):
    """How the learning rate falls after warm-up; linear and cosine end at zero."""

    CONSTANT = "constant"
    LINEAR = "linear"
    COSINE = "cosine"


class Start(StrEnum):
    """Which weights an update starts from."""

    BASE = "base"
    PREVIOUS = "previous"


class Carry(StrEnum):
    """Whether optimizer moments and schedule go on from the previous update."""

    RESET = "reset"
    KEEP = "keep"


class TrainReport(Record):
    """What a training did."""

    steps: int
    losses: tuple[float, ...]
    """Mean loss per unit of weight, one per step."""
    trained_tokens: int
    """Tokens that carried loss, counted each time they were used."""
    processed_tokens: int
    """Tokens of prompts and responses that went through the model."""
    grad_norm_last: float
    grad_norm_mean: float
    notices: tuple[str, ...] = ()
    model_seconds: float
    """Wall-clock time inside the model; differs from run to run."""

    @property
    def first_loss(self) -> float:
        """Loss of the first step."""
        return self.losses[0]

    @property
    def last_loss(self) -> float:
        """Loss of the last step."""
        return self.losses[-1]


class Tokens(NamedTuple):
    """The n tokens of a forward pass that carry loss; linked documents are whole and next to each other."""

    logprobs: Tensor
    """[n], with gradient."""
    weights: Tensor
    """[n], positive; see `Normalisation`."""
    inputs: Tensor
    """[n, columns]: what else the examples say of each token."""
    documents: Tensor
    """[n]: number of each token's document, from 0, in order."""


class Objective(Protocol):
    """What is minimised: a sum over trained tokens, computed from their log-probabilities."""

    def loss(self, tokens: Tokens) -> Tensor:
        """Scalar sum over tokens."""


class Normalisation(StrEnum):
    """What a step's sum is divided by; only tokens that carry loss are ever counted."""

    TOKEN = "token"
    """Tokens of the step: every token counts alike."""
    SEQUENCE = "sequence"
    """Each token by its response's length, all by the number of responses: every response counts alike."""
    CONSTANT = "constant"
    """Responses of the step times `length`: long responses count more, whatever else is in the step."""
    UNIT = "unit"
    """Linked units of the step, for objectives that sum over responses themselves."""


class Training(Record):
    """AdamW on an objective. Give `steps` or `epochs`, not both."""

    steps: int | None = Field(default=None, ge=1)
    """Optimizer steps; the batch is gone through as often as that takes."""
    epochs: int | None = Field(default=None, ge=1)
    """Passes over the batch."""
    batch_size: int = Field(default=16, ge=1)
    """Examples (or linked units of them) per optimizer step."""
    lr: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Peak learning rate; none means 1.5e-4 * sqrt(2 M / parameters), and 16 times that for LoRA."""
    schedule: Schedule = Schedule.COSINE
    warmup_steps: int = Field(default=4, ge=0)
    total_steps: int | None = Field(default=None, ge=1)
    """Length of the schedule when it runs over several updates; none means this update's steps."""
    normalisation: Normalisation = Normalisation.TOKEN
    """What a step's loss is divided by."""
    length: int = Field(default=100, ge=1)
    """Tokens that a response counts for under constant normalisation."""
    clip: float | None = Field(default=1.0, gt=0)
    """Largest gradient norm."""
    weight_decay: float = Field(default=0.0, ge=0)
    """On matrices, not on norms and biases."""
    start: Start = Start.BASE
    optimizer: Carry = Carry.RESET
    lora_rank: int | None = Field(default=None, ge=1)
    """Train an adapter of this rank on all linear layers instead of the weights; none means as the model is
    opened."""
    lora_alpha: float | None = Field(default=None, gt=0)
    """Scale of the adapter times its rank; none means twice the rank."""
    micro_tokens: int = Field(default=2048, ge=1)
    """Most token places in one forward pass; gradients of the passes of a step add up exactly."""
    checkpoint_every: int = Field(default=100, ge=1)
    """Steps after which a long update saves its state; it also does after 20 seconds."""

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise BadInput(
                "steps, epochs", (self.steps, self.epochs), "exactly one is needed", remedy="give one of them"
            )
        return self

    @property
    @abstractmethod
    def objective(self) -> Objective:
        """What is minimised."""

    def normalised(self, examples: Sequence[Example]) -> tuple[list[Example], float]:
        """A step's examples with the weights of their tokens, and what the sum is divided by."""
        whole = list(examples)
        match self.normalisation:
            case Normalisation.TOKEN:
                return whole, sum(example.total_weight for example in whole)
            case Normalisation.SEQUENCE:
                shared = [e._replace(weight=e.weight / sum(e.mask)) for e in whole]
                return shared, sum(example.weight for example in whole)
            case Normalisation.CONSTANT:
                return whole, sum(example.weight for example in whole) * self.length
            case Normalisation.UNIT:
                return whole, len(units(whole))

    @property
    def fingerprint(self) -> str:
        """Hash of the kind of training and its settings."""
        return digest([type(self).__name__.lower(), self])

    def peak_lr(self, parameters: int) -> float:
        """The learning rate for a model of this size."""
        if self.lr is not None:
            return self.lr
        return (
            REFERENCE_LR * math.sqrt(REFERENCE_SIZE / parameters) * (LORA_FACTOR if self.lora_rank else 1.0)
        )

    def rate(self, step: int, total: int) -> float:
        """Factor of the peak learning rate at a step (from 0) of a schedule of `total` steps."""
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        left = 1.0 - (step - self.warmup_steps) / max(1, total - self.warmup_steps)
        match self.schedule:
            case Schedule.CONSTANT:
                return 1.0
            case Schedule.LINEAR:
                return max(0.0, left)
            case Schedule.COSINE:
                return 0.5 - 0.5 * math.cos(math.pi * max(0.0, left))

    def fitted(self, work: Workbench, policy: Policy, model: HFModel, data: Batch) -> Updated:
        """Train the policy's model on the examples; the weights (and kept moments) become an artifact."""
        if not any(example.trained_tokens for example in data.examples):
            return Updated(policy=policy, report={"steps": 0, "skipped": "nothing to learn from"})
        previous = policy.weights if self.start is Start.PREVIOUS else None
        moments = previous if self.optimizer is Carry.KEEP else None
        output = work.scratch / "output"
        shutil.rmtree(output, ignore_errors=True)  # a killed process leaves half-written files there
        rank = self.lora_rank or model.lora_rank
        report = train(
            model,
            self.model_copy(update={"lora_rank": rank}),
            data,
            start_weights=stored_file(work.store, previous, WEIGHTS_FILE),
            optimizer_state=stored_file(work.store, moments, OPTIMIZER_FILE),
            seed=work.seed,
            scratch=work.scratch,
            output=output,
            progress=lambda step, total, loss: work.progress(step, total, f"loss {loss:.4g}"),
            should_stop=lambda: None,
        )
        work.stopwatch.seconds += report.model_seconds
        artifact = artifact_from(work, Kind.WEIGHTS, {path.name: path for path in output.iterdir()}, policy)
        return Updated(
            policy=policy.with_part(artifact),
            usage=Usage(trained_tokens=report.trained_tokens),
            report=report.model_dump(mode="json", exclude={"model_seconds"}),
        )


def trainable(models: Any, name: str) -> HFModel:
    """The model of that name, if its weights can be trained here; BadInput otherwise."""
    model = models[name]
    if Capability.TRAIN not in model.capabilities:
        raise BadInput(
            "model", name, "its weights cannot be trained here", remedy="take a Hugging Face folder or hub id"
        )
    chosen: HFModel = model
    return chosen


def stored_file(store: ArtifactStore, artifact: Artifact | None, file: str) -> Path | None:
    """Path of an artifact's file; None if there is no such artifact or file."""
    if artifact is None or file not in artifact.files:
        return None
    return store.checked_path(artifact.files[file])


def train(
    model: HFModel,
    settings: Training,
    batch: Batch,
    *,
    start_weights: Path | None,
    optimizer_state: Path | None,
    seed: int,
    scratch: Path,
    output: Path,
    progress: Callable[[int, int, float], None],
    should_stop: Callable[[], None],
) -> TrainReport:
    """Train the module in place and write `output/model.safetensors`; it then holds the new weights.

    Loss of a step: the objective's sum over its trained tokens, divided by the sum of their weights. With
    `optimizer = keep`, `output/optimizer.safetensors` is written too. A checkpoint in `scratch` from the same
    call is continued, and ends in the same bytes. `progress(step, total, loss)` and `should_stop()` are
    called once per step and may raise.

    Raises BadInput for a batch with nothing to learn, Mismatch for a checkpoint of another training, Damaged
    for a broken one, SharpenError if the loss stops being finite.
    """
    if model.processes > 1:
        from sharpen.learners.gang import train_together

        return train_together(
            model,
            settings,
            batch,
            start_weights=start_weights,
            seed=seed,
            scratch=scratch,
            output=output,
            progress=progress,
            should_stop=should_stop,
        )
    from sharpen.learners.fit import Fit

    fit = Fit(model, settings, batch, start_weights, optimizer_state, seed=seed, scratch=scratch)
    return fit.run(output, progress, should_stop)
