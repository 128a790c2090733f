"""What a decode step does besides its matrix products, by a few calls of compiled kernels.

Where a step takes two milliseconds, half a hundred calls of torch a layer are most of it. Every row is
computed by itself, so no row's bits depend on its neighbours; they differ from torch's by rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ctypes import CDLL, byref

import torch
from torch import Tensor
from transformers import PreTrainedModel

from sharpen.models.hf_kept import Kept
from sharpen.models.hf_kernels import BLOCK, LANES, LayerStruct, PlaceStruct, kernels_for
from sharpen.models.hf_parts import Eager, Place, States
from sharpen.models.hf_plan import LayerPlan, Norm
from sharpen.models.sampling import Draw


def native(module: PreTrainedModel) -> Native | None:
    """The kernels for a decoder, where they are of use to it."""
    width = getattr(module.base_model.layers[0].self_attn, "head_dim", 1)
    library = kernels_for(next(module.parameters())) if width % LANES == 0 else None
    return Native(library) if library else None


def drawn(logits: Tensor, uniforms: Tensor, temperature: float) -> Draw | None:
    """What `sampling.draw` gives but for rounding, or None where there are no kernels for it."""
    library = kernels_for(logits)
    if library is None:
        return None
    rows, width = logits.shape
    logits, uniforms = logits.contiguous(), uniforms.contiguous()
    weights, sums = torch.empty(width), torch.empty(-(-width // BLOCK), dtype=torch.float64)
    tokens, logprobs = torch.empty(rows, dtype=torch.long), torch.empty(rows)
    told = (weights, sums, tokens, logprobs)
    library.draw(
        logits.data_ptr(), uniforms.data_ptr(), temperature, rows, width, *(one.data_ptr() for one in told)
    )
    return Draw(tokens, logprobs)


class Native:
    """By the kernels, as far as they know how."""

    by_row = True

    def __init__(self, library: CDLL) -> None:
        """`library` comes from `kernels`."""
        self.library = library
        self.eager = Eager()

    def turns(self, place: Place, layers: Sequence[Kept]) -> Mapping[str, tuple[PlaceStruct, Tensor]]:
        """What the kernels are told of a step; the tensor is what they write to."""
        layout = place.layout
        scores = torch.empty(place.column + 1 + layers[0].prompts[0].shape[2])
        shared = {
            "positions": place.positions.data_ptr(),
            "born": layout.born.data_ptr(),
            "column": place.column,
            "prompts": layout.prompts.data_ptr(),
            "lengths": layout.lengths.data_ptr(),
            "rows": len(place.positions),
            "scores": scores.data_ptr(),
        }
        return {
            kind: (PlaceStruct(cosines=cosines.data_ptr(), sines=sines.data_ptr(), **shared), scores)
            for kind, (cosines, sines) in place.tables.items()
        }

    def attend(
        self, states: States, scale: float, kept: Kept, turn: tuple[PlaceStruct, Tensor], place: Place
    ) -> Tensor:
        """Row by row."""
        queries, keys, values = (state.contiguous() for state in states)
        at, (own, told) = turn[0], (kept.rows, kept.prompts)
        _, at.heads, at.width = queries.shape
        at.groups = keys.shape[1]
        layer = LayerStruct(
            own[0].data_ptr(),
            own[1].data_ptr(),
            own[0].shape[2],
            told[0].data_ptr(),
            told[1].data_ptr(),
            told[0].shape[2],
        )
        heard = torch.empty_like(queries)
        self.library.attend(
            queries.data_ptr(),
            keys.data_ptr(),
            values.data_ptr(),
            scale,
            byref(layer),
            byref(at),
            heard.data_ptr(),
        )
        return heard

    def added(self, norm: Norm, hidden: Tensor, more: Tensor | None) -> tuple[Tensor, Tensor]:
        """The usual norm, and the sum in place, by a kernel; others by torch."""
        rows, width = hidden.shape
        if norm.weight is None or width % LANES:
            return self.eager.added(norm, hidden, more)
        normed = torch.empty_like(hidden)
        more_at = None if more is None else more.data_ptr()
        self.library.norm(
            hidden.data_ptr(), more_at, norm.weight.data_ptr(), norm.epsilon, normed.data_ptr(), rows, width
        )
        return hidden, normed

    def worked(self, layer: LayerPlan, hidden: Tensor) -> Tensor:
        """Gates of the usual kind by a kernel, other parts as the model does it."""
        if layer.gate is None:
            return self.eager.worked(layer, hidden)
        gate, up = layer.gate.gate(hidden), layer.gate.up(hidden)
        self.library.gated(gate.data_ptr(), up.data_ptr(), gate.numel())
        return layer.gate.down(gate)
