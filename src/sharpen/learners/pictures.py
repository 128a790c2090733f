"""What learners of pictures share: their data, and a training loop that continues after a kill.

Every step draws its chance from its own number, so a loop that is taken up again ends in the same bytes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sharpen.core.errors import BadInput, SharpenError
from sharpen.core.records import Record, digest
from sharpen.core.seeds import seed_for
from sharpen.core.updater import Workbench
from sharpen.models.base import Capability

if TYPE_CHECKING:
    import torch

    from sharpen.models.painter import PainterModel

    Loss = Callable[[torch.Generator], torch.Tensor]

WARMUP = 10


class Shown(Record):
    """A caption and a picture for it."""

    caption: str
    image: str
    """SHA-256 of a stored PNG file."""


class Gallery(Record):
    """Pictures to learn from, in order."""

    items: tuple[Shown, ...]


def painter_of(models: Mapping[str, Any], name: str) -> PainterModel:
    """The model of that name, if it draws; BadInput otherwise."""
    model: PainterModel = models[name]
    if Capability.PICTURES not in model.capabilities:
        raise BadInput("model", name, "cannot draw", remedy="use painter?..., sketch or a diffusers folder")
    return model


def fit(
    work: Workbench,
    parameters: Mapping[str, torch.nn.Parameter],
    loss: Loss,
    *,
    steps: int,
    lr: float,
    identity: object,
    constant: bool = False,
    decay: float = 0.0,
) -> tuple[float, ...]:
    """AdamW on a loss that draws its own batch; returns the loss of every step.

    The rate rises over ten steps and falls to zero as a cosine, or stays if `constant`; `decay` is AdamW's.
    SharpenError if the loss stops being finite; Mismatch for the checkpoint of another training.
    """
    import torch

    from sharpen.learners.checkpoint import Checkpoint
    from sharpen.learners.optim import Moments

    for parameter in parameters.values():
        parameter.requires_grad_(True)
    moments = Moments(parameters, weight_decay=decay)
    checkpoint = Checkpoint(work.scratch / "fit.safetensors", digest([identity, steps, lr, work.seed]), 200)
    progress = checkpoint.read(moments)
    while progress.step < steps:
        began = time.perf_counter()
        chance = torch.Generator().manual_seed(seed_for(work.seed, "step", progress.step))
        value = loss(chance)
        value.backward()  # type: ignore[no-untyped-call]
        norm = moments.clip(1.0)
        if not math.isfinite(norm):
            raise SharpenError("the loss is not finite any more", remedy="lower the learning rate")
        moments.step(lr * _rate(progress.step, steps, constant=constant))
        progress = progress.after(float(value.detach()), norm, time.perf_counter() - began)
        work.progress(progress.step, steps, f"loss {progress.losses[-1]:.4g}")
        if checkpoint.due(progress.step):
            checkpoint.write(progress, moments)
    work.stopwatch.seconds += progress.seconds
    return progress.losses


def _rate(step: int, steps: int, *, constant: bool) -> float:
    rise = min(1.0, (step + 1) / WARMUP)
    return rise if constant else rise * (0.5 + 0.5 * math.cos(math.pi * step / steps))
