"""Diffusion models that draw a picture for a caption: fresh ones by a spec, trained ones from a folder.

- `painter?size=12&width=160`: untrained, see PainterShape; a recipe trains it.
- a folder with `unet/` and `scheduler/` as diffusers writes them, and `captions.safetensors` if it reads
  captions. Pixel UNets only; sampling is always DDIM, so that a picture follows from caption and seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DModel
from pydantic import JsonValue
from safetensors.torch import save_file
from torch import Tensor

from sharpen.core.errors import BadInput
from sharpen.core.spec import Spec
from sharpen.models.base import Capability, Completions, Decoding, Prompt
from sharpen.models.captions import Captions, word_ids
from sharpen.models.flat_net import FlatNet
from sharpen.models.hf_file import digest_of, read_facts, read_tensors, save_tensors
from sharpen.models.hf_weights import copy_into
from sharpen.models.painter_net import Painter, PainterShape, denoise, fresh_painter, fresh_scheduler, noise
from sharpen.tasks.pictures import Pixels

CAPTIONS_FILE = "captions.safetensors"
_ROWS = 64
"""Pictures that are drawn at once."""


class PainterModel:
    """A diffusion model with its sampler; everything runs on the CPU in float32."""

    capabilities = frozenset({Capability.PICTURES})
    dtype = "float32"

    def __init__(self, name: str, painter: Painter, scheduler: Any, *, steps: int) -> None:
        """Use `open_painter`."""
        self.name = name
        self.painter = painter.eval()
        self.scheduler = scheduler
        self.steps = steps
        self.parameters = sum(parameter.numel() for parameter in painter.parameters())
        self.threads = torch.get_num_threads()
        self._base = {key: value.clone() for key, value in painter.state_dict().items()}
        self._held: str | None = None

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the base weights, the noise schedule and the number of steps."""
        schedule: dict[str, JsonValue] = {
            key: str(value) for key, value in self.scheduler.config.items() if key[0] != "_"
        }
        return digest_of(self._base, {"schedule": schedule, "steps": self.steps})[:16]

    @property
    def size(self) -> int:
        """Pixels of a picture's side."""
        return self.painter.size

    def sample(self, prompts: Sequence[Prompt], decoding: Decoding) -> list[Completions]:
        """Always BadInput: it draws and does not write."""
        raise _no_text(self.name)

    def logprobs(self, pairs: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> list[tuple[float, ...]]:
        """Always BadInput: it draws and does not write."""
        raise _no_text(self.name)

    def load(self, weights: Path | None) -> None:
        """Put a learner's weights in place, or the base's; BadInput for those of another model."""
        if weights is None:
            if self._held is not None:
                copy_into(self.painter.state_dict(), self._base, self.name)
            self._held = None
            return
        facts, digest = read_facts(weights)
        if facts.get("base") != self.fingerprint:
            raise BadInput("weights", str(weights), "are of another model", remedy="use its own model")
        if digest != self._held:
            copy_into(self.painter.state_dict(), read_tensors(weights), weights)
            self._held = digest

    def begin(self) -> dict[str, torch.nn.Parameter]:
        """The weights in place, to be trained; what is held counts as unknown until the next `load`."""
        self._held = ""
        return dict(self.painter.named_parameters())

    def save(self, target: Path) -> None:
        """Write the weights in place as a file that `load` takes."""
        save_tensors(target, self.painter.state_dict(), {"base": self.fingerprint})

    def draw(self, captions: Sequence[str], seeds: Sequence[int]) -> list[Pixels]:
        """One picture per caption and seed; it depends on these and the weights alone."""
        drawn: list[Pixels] = []
        for start in range(0, len(captions), _ROWS):
            part = slice(start, start + _ROWS)
            drawn += self._batch(captions[part], seeds[part])
        return drawn

    @torch.no_grad()
    def _batch(self, captions: Sequence[str], seeds: Sequence[int]) -> list[Pixels]:
        begun = noise(seeds, self.size)
        ids = word_ids(captions)
        return as_pixels(denoise(self.painter, self.scheduler, begun, ids, steps=self.steps, stop=self.steps))

    def export(self, weights: Path | None, target: Path, *, merged: bool) -> None:
        """Write a folder that `open_painter` and diffusers can read."""
        self.load(weights)
        self.painter.unet.save_pretrained(target / "unet", safe_serialization=True)
        self.scheduler.save_pretrained(target / "scheduler")
        if beside := _beside_unet(self.painter):
            save_file(beside, target / CAPTIONS_FILE)


def as_pixels(pictures: Tensor) -> list[Pixels]:
    """B x 3 x S x S from -1 to 1 -> arrays of S x S x 3 bytes."""
    scaled = ((pictures.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return list(np.ascontiguousarray(scaled.permute(0, 2, 3, 1).numpy()))


def as_tensor(pictures: Sequence[Pixels]) -> Tensor:
    """The reverse of `as_pixels`."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def open_painter(spec: str, *, threads: int | None = None) -> PainterModel:
    """A fresh painter by its options, or the one in a folder; BadInput says what does not fit."""
    if threads is not None:
        torch.set_num_threads(threads)
    folder = Path(spec).expanduser()
    if folder.is_dir():
        return _from_folder(spec, folder)
    kinds = dict.fromkeys(PainterShape.model_fields, int)
    shape = PainterShape(**Spec.parse(spec, kind="model").bind(kinds, kind="model"))
    return PainterModel(spec, fresh_painter(shape), fresh_scheduler(), steps=shape.steps)


def _from_folder(spec: str, folder: Path) -> PainterModel:
    try:
        flat = FlatNet.load_config(folder / "unet", local_files_only=True)["_class_name"] == FlatNet.__name__
        kind = FlatNet if flat else UNet2DModel
        unet = kind.from_pretrained(
            folder / "unet", use_safetensors=True, local_files_only=True, torch_dtype=torch.float32
        )
        scheduler = DDIMScheduler.from_pretrained(folder / "scheduler", local_files_only=True)
    except (OSError, ValueError) as error:
        problem = f"is no folder of a pixel diffusion model: {str(error).splitlines()[0][:120]}"
        raise BadInput("model", spec, problem, remedy="give one with unet/ and scheduler/") from error
    reads = unet.config.class_embed_type == "identity"
    painter = Painter(unet, Captions(4 * unet.config.block_out_channels[0]) if reads else None)
    if beside := _beside_unet(painter):
        copy_into(beside, read_tensors(folder / CAPTIONS_FILE), folder / CAPTIONS_FILE)
    return PainterModel(spec, painter, scheduler, steps=PainterShape().steps)


def _beside_unet(painter: Painter) -> dict[str, Tensor]:
    """The weights that read captions."""
    return {name: value for name, value in painter.state_dict().items() if not name.startswith("unet.")}


def _no_text(name: str) -> BadInput:
    return BadInput("model", name, "draws pictures and cannot write", remedy="use a task of pictures")
