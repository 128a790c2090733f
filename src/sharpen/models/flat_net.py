"""A denoiser without convolutions, for pictures of a few hundred pixels."""

from __future__ import annotations

from typing import NamedTuple

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.embeddings import get_timestep_embedding
from torch import Tensor, nn

TIMES = 32
"""Numbers that tell the time."""


class Prediction(NamedTuple):
    """What diffusers' UNets return, too."""

    sample: Tensor


class FlatNet(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Residual layers over all pixels at once; caption and time scale and shift what each layer sees.

    It is called, saved and loaded as a diffusers `UNet2DModel` with class embeddings of type `identity`.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        sample_size: int = 12,
        in_channels: int = 3,
        out_channels: int = 3,
        block_out_channels: tuple[int, ...] = (16,),
        width: int = 160,
        layers_per_block: int = 2,
        class_embed_type: str | None = "identity",
    ) -> None:
        """Captions and times come as 4 * block_out_channels[0] numbers, as in a UNet."""
        super().__init__()
        told = 4 * block_out_channels[0]
        pixels = sample_size**2
        self.begin = nn.Linear(in_channels * pixels, width)
        self.times = nn.Sequential(nn.Linear(TIMES, told), nn.SiLU(), nn.Linear(told, told))
        self.layers = nn.ModuleList(Layer(width, told) for _ in range(layers_per_block))
        self.end = nn.Linear(width, out_channels * pixels)

    def forward(self, noisy: Tensor, times: Tensor, class_labels: Tensor | None = None) -> Prediction:
        """B x 3 x S x S, B or one time, B x numbers -> B x 3 x S x S."""
        told = self.times(get_timestep_embedding(times.expand(len(noisy)), TIMES))
        told = nn.functional.silu(told if class_labels is None else told + class_labels)
        hidden = self.begin(noisy.flatten(1))
        for layer in self.layers:
            hidden = layer(hidden, told)
        return Prediction(self.end(hidden).view_as(noisy))


class Layer(nn.Module):
    """One residual layer."""

    def __init__(self, width: int, told: int) -> None:
        """`told` is the width of what scales and shifts."""
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.shift = nn.Linear(told, 2 * width)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)

    def forward(self, hidden: Tensor, told: Tensor) -> Tensor:
        """B x width, B x told -> B x width."""
        scale, shift = self.shift(told).chunk(2, dim=1)
        seen = self.norm(hidden) * (1 + scale) + shift
        added: Tensor = self.down(nn.functional.silu(self.up(seen)))
        return torch.add(hidden, added)
