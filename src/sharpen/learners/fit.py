"""The training loop: seeded order, exact accumulation, checkpoints that continue to the same bytes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from sharpen.core.errors import BadInput, SharpenError
from sharpen.core.records import digest
from sharpen.core.seeds import random_for, seed_for
from sharpen.learners.batch import Batch, Example, units
from sharpen.learners.checkpoint import Checkpoint
from sharpen.learners.loss import token_loss
from sharpen.learners.optim import Moments
from sharpen.learners.packing import Layout, micro_batches
from sharpen.learners.packing import layout_of as layout_of
from sharpen.learners.training import OPTIMIZER_FILE, WEIGHTS_FILE, Carry, Training, TrainReport
from sharpen.models.hf import HFModel
from sharpen.models.hf_file import read_checked, read_facts, save_tensors
from sharpen.models.hf_head import Head, mixed
from sharpen.models.hf_recompute import LARGE, recomputing
from sharpen.models.hf_weights import Lora

if TYPE_CHECKING:
    from sharpen.learners.spread import Among, Spread

CHECKPOINT_FILE = "training.safetensors"
UNPACKED = "this model mixes packed documents, so every row holds one document (slower, same result)"


class Order:
    """Which examples a step learns from: a seeded permutation per epoch, cut into batches."""

    def __init__(self, settings: Training, batch: Batch, seed: int) -> None:
        """An epoch's last batch may be smaller; units without any loss are left out."""
        self._units = tuple(u for u in units(batch.examples) if any(e.trained_tokens for e in u))
        self._size = settings.batch_size
        self._permutation = lru_cache(maxsize=1)(partial(_permutation, seed, len(self._units)))
        self.per_epoch = math.ceil(len(self._units) / self._size)
        self.steps = settings.steps or self.per_epoch * (settings.epochs or 1)

    def at(self, step: int) -> list[Example]:
        """The examples of a step."""
        epoch, place = divmod(step, self.per_epoch)
        indices = self._permutation(epoch)[place * self._size : (place + 1) * self._size]
        return [example for i in indices for example in self._units[i]]


def _permutation(seed: int, size: int, epoch: int) -> list[int]:
    indices = list(range(size))
    random_for(seed, "order", epoch).shuffle(indices)
    return indices


class Fit:
    """One training of a model in place."""

    def __init__(
        self,
        model: HFModel,
        settings: Training,
        batch: Batch,
        start_weights: Path | None,
        optimizer_state: Path | None,
        *,
        seed: int,
        scratch: Path,
        among: Among | None = None,
    ) -> None:
        """Check everything, put the start weights in place, and take up a checkpoint if there is one.

        among: this process's place among those that train together.
        """
        batch.check(model.context)
        _check(model, settings, optimizer_state)
        self.model = model
        self.settings = settings
        self.order = Order(settings, batch, seed)
        model.load(start_weights)
        start = model.weights.held
        lora = lora_of(settings)
        parameters = model.weights.begin(lora, seed=seed_for(seed, "adapter"))
        self.layout = layout_of(model.head)
        self.spread = _spread(model.head, among)
        if self.spread is not None:
            parameters = model.weights.parameters()
        self.moments = Moments(parameters, weight_decay=settings.weight_decay)
        carried = _carry(self.moments, optimizer_state)
        self.first_step = self.moments.steps
        job = digest([settings, batch.fingerprint, seed, model.fingerprint, start, carried])
        self.checkpoint = Checkpoint(scratch / CHECKPOINT_FILE, job, settings.checkpoint_every)
        if self.spread is not None and not self.spread.agree(self.checkpoint.step):
            self.checkpoint.forget()
        self.progress = self.checkpoint.read(self.moments)

    def run(
        self, output: Path, progress: Callable[[int, int, float], None], should_stop: Callable[[], None]
    ) -> TrainReport:
        """Train to the end and write the results into `output`."""
        try:
            with recomputing(self.model.module, wanted=self.model.parameters >= LARGE):
                while self.progress.step < self.order.steps:
                    should_stop()
                    self._advance()
                    progress(self.progress.step, self.order.steps, self.progress.losses[-1])
        finally:
            self.moments.release()
        self._save(output / WEIGHTS_FILE)
        if self.settings.optimizer is Carry.KEEP:
            save_tensors(output / OPTIMIZER_FILE, self.moments.tensors(), {"steps": self.moments.steps})
        return self._report()

    def _save(self, path: Path) -> None:
        if self.spread is None:
            self.model.weights.save(path)
        elif (whole := self.spread.gathered(self.moments.parameters)) is not None:
            self.model.weights.save(path, whole)

    def _advance(self) -> None:
        began = time.perf_counter()
        loss, norm = self._step(self.order.at(self.progress.step))
        self.progress = self.progress.after(loss, norm, time.perf_counter() - began)
        due = self.checkpoint.due(self.progress.step)
        if self.spread is not None:
            due = self.spread.any(due)
        if due and self.progress.step < self.order.steps:
            self.checkpoint.write(self.progress, self.moments)

    def _step(self, examples: list[Example]) -> tuple[float, float]:
        if self.spread is None:
            loss = gradients(self.model.head, self.settings, examples, self.layout)
        else:
            loss = self.spread.gradients(self.settings, examples, self.layout)
        norm = self.moments.clip(self.settings.clip)
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise SharpenError(
                f"training step {self.progress.step + 1}: loss {loss}, gradient norm {norm}",
                remedy=f"lower the learning rate (it peaks at {self._peak_lr:.3g})",
            )
        self.moments.step(self._peak_lr * self._rate())
        return loss, norm

    @property
    def _peak_lr(self) -> float:
        return self.settings.peak_lr(self.model.parameters)

    def _rate(self) -> float:
        carried = self.first_step if self.settings.total_steps is not None else 0
        return self.settings.rate(carried + self.progress.step, self.settings.total_steps or self.order.steps)

    def _report(self) -> TrainReport:
        used = [example for step in range(self.order.steps) for example in self.order.at(step)]
        return TrainReport(
            steps=self.progress.step,
            losses=self.progress.losses,
            trained_tokens=sum(example.trained_tokens for example in used),
            processed_tokens=sum(example.length for example in used),
            grad_norm_last=self.progress.norms[-1],
            grad_norm_mean=sum(self.progress.norms) / len(self.progress.norms),
            notices=() if self.layout.packed else (UNPACKED,),
            model_seconds=self.progress.seconds,
        )


def _spread(head: Head, among: Among | None) -> Spread | None:
    if among is None:
        return None
    from sharpen.learners.spread import Spread

    return Spread(head, among)


def gradients(head: Head, settings: Training, examples: Sequence[Example], layout: Layout) -> float:
    """Add the gradients of a step's loss to those that are there; return the loss."""
    weighted, divisor = settings.normalised(examples)
    loss = 0.0
    device, objective = head.module.device, settings.objective
    for micro in micro_batches(
        weighted,
        packed=layout.packed,
        micro_tokens=settings.micro_tokens,
        device=device,
        shared=layout.shared,
    ):
        with mixed(device):
            part = token_loss(head, micro, objective, packed=layout.packed) / divisor
        part.backward()  # type: ignore[no-untyped-call]
        loss += float(part.detach())
    return loss


def lora_of(settings: Training) -> Lora | None:
    """The adapter that the settings ask for."""
    if settings.lora_rank is None:
        return None
    return Lora(rank=settings.lora_rank, alpha=settings.lora_alpha or 2.0 * settings.lora_rank)


def _check(model: HFModel, settings: Training, optimizer_state: Path | None) -> None:
    if model.dtype != "float32":
        raise BadInput(
            "dtype", model.dtype, "small updates vanish in it", remedy="open the model with dtype float32"
        )
    if optimizer_state is not None and settings.optimizer is Carry.RESET:
        raise BadInput(
            "optimizer", "reset", "there are moments to carry over", remedy="set optimizer to keep"
        )


def _carry(moments: Moments, path: Path | None) -> str | None:
    """Take up the previous update's moments; return the digest of their file."""
    if path is None:
        return None
    facts, tensors = read_checked(path)
    try:
        moments.restore(tensors, int(str(facts["steps"])))
    except KeyError as error:
        raise BadInput(
            "optimizer",
            "keep",
            f"the previous moments are of other weights ({error} is missing)",
            remedy="keep the adapter's shape from update to update, or set optimizer to reset",
        ) from error
    return read_facts(path)[1]
