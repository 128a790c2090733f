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

    def attend(self, queries: torch.Tensor, scale: float, unseen: torch.Tensor | None) -> torch.Tensor:
        """Attention of one query per row and head, [rows, heads, width], to all that is kept of the row.

        Products go over the whole buffers, whose rows lie regularly, so nothing is copied. `unseen` marks
        places [rows, at least length] that are not attended to.
        """
        assert self._key_room is not None and self._value_room is not None
        rows, heads, room, width = self._key_room.shape
        length = self.get_seq_length()
        keys = self._key_room.view(rows * heads, room, width)[:, :length]
        values = self._value_room.view(rows * heads, room, width)[:, :length]
        scores = torch.bmm(queries.reshape(rows * heads, -1, width) * scale, keys.transpose(1, 2))
        if unseen is not None:
            scores.view(rows, -1, length).masked_fill_(unseen[:, None, :length], -torch.inf)
        return torch.bmm(scores.softmax(-1), values).view(rows, -1, width)

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
    cache.layers = [GrowingLayer(capacity) if _is_full(layer, capacity) else layer for layer in cache.layers]
    return cache


def _is_full(layer: object, capacity: int) -> bool:
    if isinstance(layer, DynamicSlidingWindowLayer):
        return capacity <= layer.sliding_window  # type: ignore[no-any-return]
    return type(layer) is DynamicLayer
