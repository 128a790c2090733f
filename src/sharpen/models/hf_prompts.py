"""Reading prompts: each once, and what they all begin with once for all of them."""

from __future__ import annotations

from collections.abc import Sequence, Set
from itertools import takewhile
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from sharpen.models.hf_cache import growing_cache
from sharpen.models.hf_kept import Kept

WORTH = 8
"""Tokens that prompts must have in common for them to be read apart."""

AHEAD = 1024
"""Tokens up to which prompts of rows that wait are read with those of rows that begin."""

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


class Prompts:
    """Those that were read and are kept."""

    def __init__(self, reader: Reader, *, lean: bool) -> None:
        """lean: whether none may be kept that no row has."""
        self.reader, self.lean = reader, lean
        self.numbers: list[int] = []
        """Which they are, in their places."""
        self.coming: Sequence[int] = ()
        """The prompts of rows that wait."""
        self.logits = torch.empty(0)
        """Of the tokens after them, [prompts, vocabulary]."""
        self.lengths = torch.zeros(0, dtype=torch.long)
        """[prompts]"""

    def unread(self, number: int) -> int:
        """How many tokens of a prompt are still to be read."""
        return len(self.reader.prompts[number]) - len(self.reader.start)

    def places(self, numbers: Sequence[int]) -> Tensor:
        """Where these prompts stand: [numbers]."""
        known = {number: place for place, number in enumerate(self.numbers)}
        return torch.tensor(
            [known[number] for number in numbers], dtype=torch.long, device=self.reader.module.device
        )

    def kept_for(self, rows: Sequence[int], layers: list[Kept]) -> list[Kept]:
        """Layers that keep the prompts of all rows: what is new is read; others are forgotten now or then."""
        wanted, kept = set(rows), set(self.numbers)
        if wanted <= kept and (len(wanted) == len(kept) or not self.lean):
            return layers
        unread = sorted(wanted - kept)
        if unread and not self.lean:
            unread += self._ahead(wanted | kept, sum(map(self.unread, unread)))
            wanted.update(self.coming)
        places = self.places([number for number in self.numbers if number in wanted])
        read = self.reader.read(unread) if unread else None
        self.numbers = [self.numbers[place] for place in places.tolist()] + unread
        lengths = [len(self.reader.prompts[number]) for number in self.numbers]
        self.lengths = torch.tensor(lengths, device=places.device)
        if read is not None and not layers:
            self.logits = read.logits
            return [Kept(*states) for states in read.states]
        for number, layer in enumerate(layers):
            layer.keep_prompts(places, read and read.states[number])
        self.logits = torch.cat([self.logits[places], *([read.logits] if read else [])])
        return layers

    def _ahead(self, known: Set[int], tokens: int) -> list[int]:
        """Prompts that come next, as many as are read in one go beside so many tokens."""
        ahead: dict[int, None] = {}
        for number in self.coming:
            if number not in known and number not in ahead:
                tokens += self.unread(number)
                if tokens > AHEAD:
                    break
                ahead[number] = None
        return list(ahead)
