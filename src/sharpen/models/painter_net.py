"""A diffusers UNet with captions: pictures are cut into patches, and the caption joins the time embedding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import DDIMScheduler, UNet2DModel
from torch import Tensor, nn
from torch.nn import functional

from sharpen.core.errors import BadInput
from sharpen.core.records import Record
from sharpen.models.captions import Captions

COLOURS = 3
PLANES = 12
"""Channels of a fresh painter beside the picture: the caption laid out over it, then row and column."""


class PainterShape(Record):
    """Options of a fresh painter."""

    size: int = 12
    """Pixels of the picture's side."""
    patch: int = 3
    """Pixels of a patch's side; the UNet works on patches."""
    width: int = 32
    """Channels."""
    steps: int = 10
    """Denoising steps of a picture."""
    seed: int = 0
    """Seed of the weights."""


class Painter(nn.Module):
    """Predicts the clean picture from a noisy one, the time and the caption.

    The caption joins the time embedding and, laid out over the picture, stands beside it as further channels,
    with the row and the column: that is how a small net learns quickly what goes where.
    """

    def __init__(self, unet: Any, captions: Captions | None) -> None:
        """`captions` is None for a UNet without any; BadInput for a UNet that cannot be used."""
        super().__init__()
        self.unet = unet
        self.captions = captions
        self.patch = _patch(unet.config)
        self.planes = unet.config.in_channels - unet.config.out_channels
        if self.planes and captions is None:
            raise BadInput("unet", self.planes, "additional channels are unknown", remedy="use a plain UNet")
        if self.planes:
            cells = (self.planes - 2) * unet.config.sample_size**2
            self.layout = nn.Linear(4 * unet.config.block_out_channels[0], cells)

    @property
    def size(self) -> int:
        """Pixels of the picture's side."""
        return int(self.unet.config.sample_size) * self.patch

    def forward(self, noisy: Tensor, times: Tensor, ids: Tensor) -> Tensor:
        """B x 3 x S x S, B or one time, B x PLACES -> what the scheduler's prediction type names."""
        cells = functional.pixel_unshuffle(noisy, self.patch)
        caption = None if self.captions is None else self.captions(ids)
        if self.planes:
            side = cells.shape[-1]
            laid = self.layout(caption).reshape(len(cells), -1, side, side)
            cells = torch.cat([cells, laid, _places(cells)], dim=1)
        predicted = self.unet(cells, times, class_labels=caption).sample
        return functional.pixel_shuffle(predicted, self.patch)


def _places(cells: Tensor) -> Tensor:
    """B x 2 x H x W: the row and column of every cell, from -1 to 1."""
    steps = torch.linspace(-1, 1, cells.shape[-1])
    return torch.stack(torch.meshgrid(steps, steps, indexing="ij")).expand(len(cells), -1, -1, -1)


def _patch(config: Any) -> int:
    """Side of the patches, read off the channels."""
    side = int((config.out_channels / COLOURS) ** 0.5)
    if COLOURS * side * side != config.out_channels:
        raise BadInput("unet", config.out_channels, "channels are no RGB patches", remedy="3, 12, 27, ...")
    return side


def fresh_painter(shape: PainterShape) -> Painter:
    """An untrained painter; equal shapes give equal weights."""
    if shape.size % shape.patch or shape.width % 16:
        raise BadInput(
            "painter", str(shape), "does not fit", remedy="size a multiple of patch, width one of 16"
        )
    channels = COLOURS * shape.patch**2
    with torch.random.fork_rng():
        torch.manual_seed(shape.seed)
        unet = UNet2DModel(
            sample_size=shape.size // shape.patch,
            in_channels=channels + PLANES,
            out_channels=channels,
            block_out_channels=(shape.width,),
            down_block_types=("DownBlock2D",),
            up_block_types=("UpBlock2D",),
            layers_per_block=1,
            norm_num_groups=8,
            attention_head_dim=16,
            class_embed_type="identity",
            resnet_time_scale_shift="scale_shift",
        )
        return Painter(unet, Captions(4 * shape.width))


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
