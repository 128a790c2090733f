"""A diffusion model with captions: a diffusers UNet of pixels, or the flat net that is shipped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import DDIMScheduler
from torch import Tensor, nn

from sharpen.core.errors import BadInput
from sharpen.core.records import Record
from sharpen.models.captions import Captions
from sharpen.models.flat_net import FlatNet

COLOURS = 3


class PainterShape(Record):
    """Options of a fresh painter."""

    size: int = 12
    """Pixels of the picture's side."""
    width: int = 160
    """Channels of a layer."""
    steps: int = 10
    """Denoising steps of a picture."""
    seed: int = 0
    """Seed of the weights."""


class Painter(nn.Module):
    """Predicts from a noisy picture, the time and the caption; the caption joins the time embedding."""

    def __init__(self, unet: Any, captions: Captions | None) -> None:
        """`unet` is a UNet2DModel or a FlatNet; `captions` is None for one that reads none."""
        super().__init__()
        if unet.config.in_channels != COLOURS or unet.config.out_channels != COLOURS:
            raise BadInput("unet", unet.config.in_channels, "channels are no RGB", remedy="use a pixel model")
        self.unet = unet
        self.captions = captions

    @property
    def size(self) -> int:
        """Pixels of the picture's side."""
        return int(self.unet.config.sample_size)

    def forward(self, noisy: Tensor, times: Tensor, ids: Tensor) -> Tensor:
        """B x 3 x S x S, B or one time, B x PLACES -> what the scheduler's prediction type names."""
        caption = None if self.captions is None else self.captions(ids)
        predicted: Tensor = self.unet(noisy, times, class_labels=caption).sample
        return predicted


def fresh_painter(shape: PainterShape) -> Painter:
    """An untrained painter; equal shapes give equal weights."""
    if shape.size % 4:
        raise BadInput("painter", str(shape), "does not fit", remedy="give a size that is a multiple of 4")
    with torch.random.fork_rng():
        torch.manual_seed(shape.seed)
        net = FlatNet(sample_size=shape.size, width=shape.width)
        return Painter(net, Captions(4 * net.config.block_out_channels[0]))


def fresh_scheduler() -> Any:
    """Cosine noise; the net predicts the clean picture."""
    return DDIMScheduler(
        beta_schedule="squaredcos_cap_v2", prediction_type="sample", timestep_spacing="trailing"
    )


def noise(seeds: Sequence[int], size: int) -> Tensor:
    """B x 3 x size x size, each picture from its own seed."""
    return torch.stack(
        [torch.randn(COLOURS, size, size, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    )


def clean(scheduler: Any, predicted: Tensor, time: Tensor, noisy: Tensor) -> Tensor:
    """The clean picture that a prediction means, from -1 to 1; gradients pass through."""
    pictures: Tensor = scheduler.step(predicted, time, noisy).pred_original_sample
    return pictures


def denoise(painter: Painter, scheduler: Any, noisy: Tensor, ids: Tensor, *, steps: int, stop: int) -> Tensor:
    """The first `stop` of `steps` denoising steps; all of them give finished pictures, from -1 to 1."""
    scheduler.set_timesteps(steps)
    for time in scheduler.timesteps[:stop]:
        noisy = scheduler.step(painter(noisy, time, ids), time, noisy).prev_sample
    return noisy
