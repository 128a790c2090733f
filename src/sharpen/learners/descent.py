"""A plain descent on a loss of one's own: AdamW, warm-up, cosine, checkpoints that continue after a kill."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from sharpen.core.errors import SharpenError
from sharpen.core.records import digest
from sharpen.core.updater import Workbench

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

WARMUP = 10
CHECKPOINT_EVERY = 200
FILE = "fit.safetensors"


def descend(
    work: Workbench,
    parameters: Mapping[str, Parameter],
    loss: Callable[[int], Tensor],
    *,
    steps: int,
    lr: float,
    identity: object,
    constant: bool = False,
    decay: float = 0.0,
) -> tuple[float, ...]:
    """AdamW on the loss of each step's number (from 0); returns the loss of every step.

    The rate rises over ten steps and falls to zero as a cosine, or stays if `constant`; `decay` is AdamW's.
    A loss that depends on its number alone makes a training that was killed end in the same bytes.
    SharpenError if the loss stops being finite; Mismatch for the checkpoint of another training.
    """
    from sharpen.learners.checkpoint import Checkpoint
    from sharpen.learners.optim import Moments

    for parameter in parameters.values():
        parameter.requires_grad_(True)
    moments = Moments(parameters, weight_decay=decay)
    job = digest([identity, steps, lr, work.seed])
    checkpoint = Checkpoint(work.scratch / FILE, job, CHECKPOINT_EVERY)
    progress = checkpoint.read(moments)
    try:
        while progress.step < steps:
            began = time.perf_counter()
            value = loss(progress.step)
            value.backward()  # type: ignore[no-untyped-call]
            norm = moments.clip(1.0)
            if not math.isfinite(norm):
                raise SharpenError("the loss is not finite any more", remedy="lower the learning rate")
            moments.step(lr * rate(progress.step, steps, constant=constant))
            progress = progress.after(float(value.detach()), norm, time.perf_counter() - began)
            work.progress(progress.step, steps, f"loss {progress.losses[-1]:.4g}")
            if checkpoint.due(progress.step):
                checkpoint.write(progress, moments)
    finally:
        moments.release()
    work.stopwatch.seconds += progress.seconds
    return progress.losses


def rate(step: int, steps: int, *, constant: bool) -> float:
    """Factor of the peak learning rate at a step (from 0) of so many."""
    rise = min(1.0, (step + 1) / WARMUP)
    return rise if constant else rise * (0.5 + 0.5 * math.cos(math.pi * step / steps))
