"""What learners of pictures share: their data, and a training loop that continues after a kill.

Every step draws its chance from its own number, so a loop that is taken up again ends in the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sharpen.core.errors import BadInput
from sharpen.core.records import Record
from sharpen.core.seeds import seed_for
from sharpen.core.updater import Workbench
from sharpen.learners.descent import descend
from sharpen.models.base import Capability

if TYPE_CHECKING:
    import torch

    from sharpen.models.painter import PainterModel

    Loss = Callable[[torch.Generator], torch.Tensor]


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

    See `descend` for the rest.
    """
    import torch

    def at(step: int) -> torch.Tensor:
        return loss(torch.Generator().manual_seed(seed_for(work.seed, "step", step)))

    return descend(
        work, parameters, at, steps=steps, lr=lr, identity=identity, constant=constant, decay=decay
    )
