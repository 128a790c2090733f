"""A key-value cache that appends in place: a decode step copies one token, not the whole cache."""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache, PretrainedConfig
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer


class GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """A full-attention layer whose keys and values are views of buffers made once, after the prefill.

    The prefill runs on the unique prompts; `batch_select_indices` then spreads them over their samples
    and allocates room for `capacity` positions.
    """

    def __init__(self, capacity: int) -> None:
        """`capacity` is the longest prompt plus the tokens to draw."""
        super().__init__()
        self.capacity = capacity
        self._key_room: torch.Tensor | None = None
        self._value_room: torch.Tensor | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append states of shape [batch, heads, new, width]; return all of them."""
        if self._key_room is None or self._value_room is None:
            return super().update(key_states, value_states, *args, **kwargs)  # type: ignore[no-any-return]
        old = self.get_seq_length()
        new = old + key_states.shape[-2]
        self._key_room[:, :, old:new] = key_states
        self._value_room[:, :, old:new] = value_states
        self.keys = self._key_room[:, :, :new]
        self.values = self._value_room[:, :, :new]
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep (or repeat) these rows, in this order, in fresh buffers."""
        self._key_room, self.keys = self._spread(self.keys, indices)
        self._value_room, self.values = self._spread(self.values, indices)

    def _spread(self, states: torch.Tensor, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        _, heads, length, width = states.shape
        room = states.new_empty(len(indices), heads, max(self.capacity, length), width)
        view = room[:, :, :length]
        view.copy_(states[indices])
        return room, view


def growing_cache(config: PretrainedConfig, capacity: int) -> DynamicCache:
    """A cache for a model with this configuration; layers of other kinds stay as transformers makes them.

    A sliding window that is never left is full attention.
    """
    cache = DynamicCache(config=config)
    cache.layers = [GrowingLayer(capacity) if is_full(layer, capacity) else layer for layer in cache.layers]
    return cache


def is_full(layer: object, capacity: int) -> bool:
    """Whether a layer, as transformers makes it, keeps so many tokens all."""
    if isinstance(layer, DynamicSlidingWindowLayer):
        return capacity <= layer.sliding_window  # type: ignore[no-any-return]
    return type(layer) is DynamicLayer
