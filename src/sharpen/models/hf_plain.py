"""Seats for any decoder, by the model's own forward pass: one batch, whose rows are dropped as they end."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from sharpen.models.hf_cache import growing_cache
from sharpen.models.hf_rows import Share


class PlainSeats:
    """All rows begin together; prompts are padded on the left to the longest and read once each."""

    def __init__(self, module: PreTrainedModel, shares: Sequence[Share], max_new: int) -> None:
        """Room for `max_new` tokens after the longest prompt; without padding no mask is needed."""
        device = module.device
        self.module = module
        self.length = max(len(share.ids) for share in shares)
        self.cache = growing_cache(module.config, self.length + max_new)
        self.ids = torch.tensor(
            [[0] * (self.length - len(s.ids)) + list(s.ids) for s in shares], device=device
        )
        self.padding = torch.tensor([self.length - len(share.ids) for share in shares], device=device)
        columns = torch.arange(self.length + max_new, device=device)
        self.padded = any(len(share.ids) < self.length for share in shares)
        self.mask = (columns >= self.padding[:, None]).long()
        self.has_positions = "position_ids" in inspect.signature(module.forward).parameters

    def takes(self, running: int, waiting: Sequence[int]) -> int:
        """All of them, at the beginning."""
        return len(waiting)

    def reseat(self, order: Tensor, fresh: Sequence[int]) -> Tensor | None:
        """Begin with these rows, or drop rows."""
        if not fresh:
            self._select(order)
            return None
        rows = torch.tensor(fresh, device=self.ids.device)
        logits = self._forward(self.ids, 0)
        self._select(rows)
        return logits[rows]

    def next(self, tokens: Tensor) -> Tensor:
        """Append one token per row."""
        self.length += 1
        return self._forward(tokens[:, None], self.length - 1)

    def _select(self, rows: Tensor) -> None:
        self.cache.batch_select_indices(rows)
        self.mask, self.padding = self.mask[rows], self.padding[rows]

    def _forward(self, ids: Tensor, start: int) -> Tensor:
        extra: dict[str, Any] = {}
        if self.padded:
            extra["attention_mask"] = self.mask[:, : self.length]
        if self.has_positions:
            columns = torch.arange(start, self.length, device=ids.device)
            extra["position_ids"] = (columns - self.padding[:, None]).clamp_(min=0)
        output = self.module(
            input_ids=ids, past_key_values=self.cache, use_cache=True, logits_to_keep=1, **extra
        )
        logits: Tensor = output.logits[:, -1]
        return logits
