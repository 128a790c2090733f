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
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from sharpen.models.hf_kept import Kept
from sharpen.models.hf_native import native
from sharpen.models.hf_parts import Eager, Parts, Place, States, Tables

STATIC_ROPE = frozenset({"default", "linear", "llama3", "yarn"})
"""Rotary embeddings that depend on the position alone."""
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj", "head_dim", "scaling")
LAYER = ("input_layernorm", "post_attention_layernorm", "mlp")
FULL = "full_attention"


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
        return bool(layers) and static and alike

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

    def step(self, tokens: Tensor, place: Place, layers: Sequence[Kept]) -> Tensor:
        """Append a token to every row, [rows]; the logits of the next one, [rows, vocabulary]."""
        inner: Any = self.module.base_model
        parts = self.parts
        turns = parts.turns(place, layers)
        hidden: Tensor = inner.embed_tokens(tokens)
        for layer, kept in zip(inner.layers, layers, strict=True):
            kind = getattr(layer.self_attn, "layer_type", None)
            turn = turns[kind] if kind in turns else turns[FULL]
            states = _projected(layer.self_attn, parts.normed(layer.input_layernorm, hidden))
            heard = parts.attend(states, layer.self_attn.scaling, kept, turn, place)
            told = layer.self_attn.o_proj(heard.view(len(hidden), -1))
            if hasattr(layer, "pre_feedforward_layernorm"):
                hidden = hidden + layer.post_attention_layernorm(told)
                worked = layer.mlp(layer.pre_feedforward_layernorm(hidden))
                hidden = hidden + layer.post_feedforward_layernorm(worked)
            else:
                hidden = hidden + told
                heard = parts.normed(layer.post_attention_layernorm, hidden)
                hidden = hidden + parts.worked(layer.mlp, heard)
        logits: Tensor = self.module.get_output_embeddings()(parts.normed(inner.norm, hidden))
        return logits


def _projected(attention: Any, hidden: Tensor) -> States:
    """A layer's queries, keys and values of every row."""
    queries, keys, values = (
        project(hidden).view(len(hidden), -1, attention.head_dim)
        for project in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    if hasattr(attention, "q_norm"):
        queries, keys = attention.q_norm(queries), attention.k_norm(keys)
    return States(queries, keys, values)


def _signed(sines: Tensor) -> Tensor:
    half = sines.shape[-1] // 2
    return torch.cat((-sines[..., :half], sines[..., half:]), dim=-1)
