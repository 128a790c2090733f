"""Reading prompts: each once, and what they all begin with once for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from sharpen.models.hf_cache import growing_cache

WORTH = 8
"""Tokens that prompts must have in common for them to be read apart."""

States = list[tuple[Tensor, Tensor]]
"""Keys and values of every layer, [prompts, heads, tokens, width] each."""


class Read(NamedTuple):
    """Prompts that were read; shorter ones end in columns that mean nothing."""

    states: States
    logits: Tensor
    """Of the next token, [prompts, vocabulary]."""


def common_start(rows: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """What all rows begin with."""
    first, last = min(rows), max(rows)
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return tuple(one for one, _ in pairs)


class Reader:
    """Reads prompts of one call, padded on the right: what comes after a token cannot change it."""

    def __init__(self, module: PreTrainedModel, prompts: Sequence[tuple[int, ...]]) -> None:
        """`prompts` are all that may be read."""
        self.module = module
        self.prompts = prompts
        shared = common_start(prompts)[: min(map(len, prompts)) - 1]
        self.start = shared if len(prompts) > 1 and len(shared) >= WORTH else ()
        self._begun: States = []

    def read(self, numbers: Sequence[int]) -> Read:
        """The prompts with these numbers, in this order."""
        device = self.module.device
        rest = [self.prompts[number][len(self.start) :] for number in numbers]
        width = max(map(len, rest))
        ids = torch.tensor([list(row) + [0] * (width - len(row)) for row in rest], device=device)
        cache = self._after_start(len(rest), len(self.start) + width)
        hidden = self._hidden(ids, cache)
        last = torch.tensor([len(row) - 1 for row in rest], device=device)
        logits = self.module.get_output_embeddings()(hidden[torch.arange(len(rest), device=device), last])
        return Read([(layer.keys, layer.values) for layer in cache.layers], logits)

    def _after_start(self, count: int, capacity: int) -> DynamicCache:
        """A cache that holds the common start for so many prompts."""
        cache = growing_cache(self.module.config, capacity)
        if self.start and not self._begun:
            self._hidden(torch.tensor([self.start], device=self.module.device), cache)
            self._begun = [(layer.keys, layer.values) for layer in cache.layers]
            cache = growing_cache(self.module.config, capacity)
        for layer, states in zip(cache.layers, self._begun, strict=False):
            layer.update(*(state.expand(count, -1, -1, -1) for state in states))
        return cache

    def _hidden(self, ids: Tensor, cache: DynamicCache) -> Tensor:
        output = self.module.base_model(input_ids=ids, past_key_values=cache, use_cache=True)
        hidden: Tensor = output.last_hidden_state
        return hidden
