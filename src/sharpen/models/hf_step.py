"""A decode step of a Llama-like decoder with little in it besides its matrix products.

For each token `transformers` prepares masks, positions and outputs anew, and attends with kernels that are
made for long queries; a small model spends most of its time there. This step calls the model's own
projections, norms and rotary embedding, so adapters work as they are, and attends by batched products over
what is kept of prompts and rows.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor
from transformers import PreTrainedModel

from sharpen.models.hf_kept import Kept
from sharpen.models.hf_native import native
from sharpen.models.hf_parts import Eager, Parts, Place, States, Tables
from sharpen.models.hf_plan import FULL, LayerPlan, Plan, plan_of

STATIC_ROPE = frozenset({"default", "linear", "llama3", "yarn"})
"""Rotary embeddings that depend on the position alone."""
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj", "head_dim", "scaling")
LAYER = ("input_layernorm", "post_attention_layernorm", "mlp")


class Stepper:
    """Decode steps of one module."""

    def __init__(self, module: PreTrainedModel) -> None:
        """`module` is any causal language model."""
        self.module = module
        self.own: Parts | None = None
        """What computes all but the matrix products, where that is not to be chosen by machine and module."""

    @property
    def parts(self) -> Parts:
        """What computes all but the matrix products."""
        return self.own or native(self.module) or Eager()

    @cached_property
    def made(self) -> bool:
        """Whether the module is made as expected."""
        layers = getattr(self.module.base_model, "layers", ())
        rotary = getattr(self.module.base_model, "rotary_emb", None)
        kinds = getattr(rotary, "rope_type", None)
        static = set(kinds.values() if isinstance(kinds, dict) else [kinds]) <= STATIC_ROPE
        alike = all(
            all(hasattr(layer, name) for name in LAYER)
            and all(hasattr(layer.self_attn, name) for name in ATTENTION)
            for layer in layers
        )
        return bool(layers) and static and alike and self._turns_whole_heads()

    def _turns_whole_heads(self) -> bool:
        """Whether rotary embeddings are as wide as the heads; the kernels rely on it."""
        widths = {cosines.shape[-1] for cosines, _ in self.tables(1).values()}
        return widths == {layer.self_attn.head_dim for layer in self.module.base_model.layers}

    def tables(self, positions: int) -> Tables:
        """Cosines and sines of the first positions."""
        rotary = self.module.base_model.rotary_emb
        device, dtype = self.module.device, self.module.dtype
        places, like = (
            torch.arange(positions, device=device)[None],
            torch.zeros(1, device=device, dtype=dtype),
        )
        if "layer_type" not in inspect.signature(rotary.forward).parameters:
            cosines, sines = rotary(like, places)
            return {FULL: (cosines[0], _signed(sines[0]))}
        kinds = {kind: rotary(like, places, kind) for kind in set(self.module.config.layer_types)}
        return {kind: (cosines[0], _signed(sines[0])) for kind, (cosines, sines) in kinds.items()}

    def plan(self) -> Plan:
        """What `step` needs of the module; it holds until the module's weights change."""
        return plan_of(self.module)

    def step(self, tokens: Tensor, place: Place, layers: Sequence[Kept], plan: Plan) -> Tensor:
        """Append a token to every row, [rows]; the logits of the next one, [rows, vocabulary]."""
        parts = place.parts
        turns = parts.turns(place, layers)
        hidden, more = plan.embed(tokens), None
        for layer, kept in zip(plan.layers, layers, strict=True):
            hidden, heard = parts.added(layer.before, hidden, more)
            turn = turns[layer.kind] if layer.kind in turns else turns[FULL]
            found = parts.attend(_projected(layer, heard), layer.scale, kept, turn, place)
            told = layer.out(found.view(len(hidden), -1))
            hidden, heard = parts.added(layer.between, hidden, layer.told(told) if layer.told else told)
            worked = parts.worked(layer, heard)
            more = layer.worked(worked) if layer.worked else worked
        return plan.head(parts.added(plan.norm, hidden, more)[1])


def _projected(layer: LayerPlan, hidden: Tensor) -> States:
    """A layer's queries, keys and values of every row."""
    queries, keys, values = (project(hidden).view(len(hidden), -1, layer.width) for project in layer.project)
    if layer.head_norms:
        queries, keys = layer.head_norms[0](queries), layer.head_norms[1](keys)
    return States(queries, keys, values)


def _signed(sines: Tensor) -> Tensor:
    half = sines.shape[-1] // 2
    return torch.cat((-sines[..., :half], sines[..., half:]), dim=-1)
