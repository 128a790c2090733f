"""Activations computed again: a layer keeps its input alone, and its gradients cost another forward pass.

The numbers are the same bit by bit, so whether it is done is no part of what a training is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

LARGE = 1_000_000_000
"""Parameters from which activations are not kept."""


@contextmanager
def recomputing(module: PreTrainedModel, *, wanted: bool) -> Iterator[None]:
    """While it lasts, layers are computed again for their gradients, if that is wanted and they can be."""
    layers = [part for part in module.modules() if wanted and isinstance(part, GradientCheckpointingLayer)]
    for layer in layers:
        layer._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)
    # A layer only does so in training; what is inside stays as it is, without any dropout.
    _set(layers, to=True)
    try:
        yield
    finally:
        _set(layers, to=False)


def _set(layers: Sequence[GradientCheckpointingLayer], *, to: bool) -> None:
    for layer in layers:
        layer.gradient_checkpointing = layer.training = to
