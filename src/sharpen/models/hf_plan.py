"""A decoder's parts, looked up once for many steps: a small one spends a tenth of a step on finding them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Linear
from torch.nn.functional import linear
from transformers import PreTrainedModel
from transformers.activations import ACT2FN

FULL = "full_attention"
SILU = type(ACT2FN["silu"])
WIDE = 1536
"""Outputs that a CPU computes at a time: of a whole vocabulary's, a fifth more slowly."""

Through = Callable[[Tensor], Tensor]


class Norm(NamedTuple):
    """A norm; the usual one has weight and epsilon."""

    whole: Through
    weight: Tensor | None
    epsilon: float


class Gate(NamedTuple):
    """The matrices of down(silu(gate) * up)."""

    gate: Through
    up: Through
    down: Through


class LayerPlan(NamedTuple):
    """One layer."""

    kind: str
    """Of attention."""
    before: Norm
    project: tuple[Through, Through, Through]
    """To queries, keys and values."""
    head_norms: tuple[Through, Through] | None
    """Of queries and keys."""
    width: int
    """Of a head."""
    scale: float
    out: Through
    told: Through | None
    """A norm of what attention says, where there is one."""
    between: Norm
    mlp: Through
    gate: Gate | None
    """The matrices in there, if it is made of nothing else."""
    worked: Through | None
    """A norm of what that says, where there is one."""


class Plan(NamedTuple):
    """The decoder."""

    embed: Through
    layers: tuple[LayerPlan, ...]
    norm: Norm
    head: Through


def plan_of(module: PreTrainedModel) -> Plan:
    """The parts of a Llama-like decoder, with the weights that it holds now."""
    inner: Any = module.base_model
    layers = tuple(map(_layer, inner.layers))
    return Plan(inner.embed_tokens, layers, _norm(inner.norm), _head(module.get_output_embeddings()))


def _layer(layer: Any) -> LayerPlan:
    attention, mlp = layer.self_attn, layer.mlp
    sandwich = hasattr(layer, "pre_feedforward_layernorm")
    gated = isinstance(getattr(mlp, "act_fn", None), SILU) and hasattr(mlp, "gate_proj")
    return LayerPlan(
        kind=getattr(attention, "layer_type", None) or FULL,
        before=_norm(layer.input_layernorm),
        project=(_direct(attention.q_proj), _direct(attention.k_proj), _direct(attention.v_proj)),
        head_norms=(attention.q_norm, attention.k_norm) if hasattr(attention, "q_norm") else None,
        width=attention.head_dim,
        scale=attention.scaling,
        out=_direct(attention.o_proj),
        told=layer.post_attention_layernorm if sandwich else None,
        between=_norm(layer.pre_feedforward_layernorm if sandwich else layer.post_attention_layernorm),
        mlp=mlp,
        gate=Gate(_direct(mlp.gate_proj), _direct(mlp.up_proj), _direct(mlp.down_proj)) if gated else None,
        worked=layer.post_feedforward_layernorm if sandwich else None,
    )


def _norm(norm: Any) -> Norm:
    usual = hasattr(norm, "variance_epsilon") and norm.weight.dtype == torch.float32
    return Norm(norm, norm.weight if usual else None, norm.variance_epsilon if usual else 0.0)


def _direct(module: Any) -> Through:
    """A plain linear layer without the calls around its product; others as they are."""
    if type(module) is not Linear or module._forward_hooks or module._forward_pre_hooks:
        through: Through = module
        return through
    return partial(linear, weight=module.weight, bias=module.bias)


def _head(module: Any) -> Through:
    """A plain head of many outputs in parts, which gives the same bits."""
    through = _direct(module)
    if not isinstance(through, partial) or module.bias is not None or module.weight.device.type != "cpu":
        return through
    return partial(_in_parts, module.weight) if len(module.weight) > 4 * WIDE else through


def _in_parts(weight: Tensor, hidden: Tensor) -> Tensor:
    told = hidden.new_empty(len(hidden), len(weight))
    for part, into in zip(torch.split(weight, WIDE), torch.split(told, WIDE, dim=1), strict=True):
        torch.mm(hidden, part.t(), out=into)
    return told
