"""A decode step of a Llama-like decoder with little in it besides its matrix products.

For each token `transformers` prepares masks, positions and outputs anew, and attends with kernels that are
made for long queries; a small model spends most of its time there. This step calls the model's own
projections, norms and rotary embedding, so adapters work as they are, and attends by batched products over
what is kept of prompts and rows.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from sharpen.models.hf_kept import Kept, Layout

STATIC_ROPE = frozenset({"default", "linear", "llama3", "yarn"})
"""Rotary embeddings that depend on the position alone."""
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj", "head_dim", "scaling")
LAYER = ("input_layernorm", "post_attention_layernorm", "mlp")
FULL = "full_attention"

Tables = Mapping[str, tuple[Tensor, Tensor]]
"""Kind of attention -> cosines and signed sines, [positions, width] each; see `_turned`."""


class Place(NamedTuple):
    """Where the rows of a step stand."""

    positions: Tensor
    """[rows]"""
    tables: Tables
    column: int
    """Where their tokens are kept."""
    layout: Layout


class Stepper:
    """Decode steps of one module."""

    def __init__(self, module: PreTrainedModel) -> None:
        """`module` is any causal language model."""
        self.module = module

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
        turns = {
            kind: tuple(table[place.positions][:, None] for table in pair)
            for kind, pair in place.tables.items()
        }
        hidden: Tensor = inner.embed_tokens(tokens)
        for layer, kept in zip(inner.layers, layers, strict=True):
            kind = getattr(layer.self_attn, "layer_type", None)
            turn = turns[kind] if kind in turns else turns[FULL]
            told = _attended(layer.self_attn, _normed(layer.input_layernorm, hidden), kept, turn, place)
            if hasattr(layer, "pre_feedforward_layernorm"):
                hidden = hidden + layer.post_attention_layernorm(told)
                worked = layer.mlp(layer.pre_feedforward_layernorm(hidden))
                hidden = hidden + layer.post_feedforward_layernorm(worked)
            else:
                hidden = hidden + told
                hidden = hidden + layer.mlp(_normed(layer.post_attention_layernorm, hidden))
        logits: Tensor = self.module.get_output_embeddings()(_normed(inner.norm, hidden))
        return logits


def _normed(norm: Any, hidden: Tensor) -> Tensor:
    """The model's norm; where it is the usual one in float32, by one call that gives the same bits."""
    if hidden.dtype == torch.float32 and hasattr(norm, "variance_epsilon"):
        return torch.rms_norm(hidden, norm.weight.shape, norm.weight, norm.variance_epsilon)
    normed: Tensor = norm(hidden)
    return normed


def _attended(attention: Any, hidden: Tensor, kept: Kept, turn: Sequence[Tensor], place: Place) -> Tensor:
    """What a layer's attention says to every row: [rows, width]."""
    rows, width = len(hidden), attention.head_dim
    queries, keys, values = (
        project(hidden).view(rows, -1, width)
        for project in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    if hasattr(attention, "q_norm"):
        queries, keys = attention.q_norm(queries), attention.k_norm(keys)
    heads = queries.shape[1]
    turned = _turned(torch.cat((queries, keys), dim=1), turn)
    kept.append(place.column, turned[:, heads:], values)
    told = kept.attend(turned[:, :heads], attention.scaling, place.column + 1, place.layout)
    said: Tensor = attention.o_proj(told.view(rows, -1))
    return said


def _turned(states: Tensor, turn: Sequence[Tensor]) -> Tensor:
    """Rotary embedding of [rows, heads, width]; the first half of the sines has its sign changed."""
    cosines, sines = turn
    return torch.addcmul(states * cosines, states.roll(states.shape[-1] // 2, -1), sines)


def _signed(sines: Tensor) -> Tensor:
    half = sines.shape[-1] // 2
    return torch.cat((-sines[..., :half], sines[..., half:]), dim=-1)
