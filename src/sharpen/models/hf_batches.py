"""Which rows are decoded together: prompts of like length, as many as the key-value cache may hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from transformers import PreTrainedModel

from sharpen.models.hf_rows import Share

CACHE_BYTES = 1 << 30
GPU_SHARE = 0.3


class Group(NamedTuple):
    """Shares that are decoded together, and which prompt each belongs to."""

    indices: tuple[int, ...]
    shares: tuple[Share, ...]


def groups(
    wanted: Sequence[Share], rows_that_fit: Callable[[int], int], *, longest_first: bool = False
) -> Iterator[Group]:
    """Split prompts with their seeds into groups, by length; one prompt's seeds may span groups.

    `rows_that_fit` gives the most rows for a prompt of so many tokens.
    """
    pending: list[tuple[int, Share]] = []
    rows, sign = 0, -1 if longest_first else 1
    for index in sorted(range(len(wanted)), key=lambda i: (sign * len(wanted[i].ids), i)):
        ids, seeds = wanted[index]
        most = rows_that_fit(len(ids))
        while seeds:
            if rows >= most:
                yield _group(pending)
                pending, rows = [], 0
            taken = min(len(seeds), most - rows)
            pending.append((index, Share(ids, seeds[:taken])))
            seeds, rows = seeds[taken:], rows + taken
    if pending:
        yield _group(pending)


def _group(pending: Sequence[tuple[int, Share]]) -> Group:
    return Group(tuple(index for index, _ in pending), tuple(share for _, share in pending))


def rows_that_fit(module: PreTrainedModel, tokens: int, most: int) -> int:
    """Rows whose key-value cache for so many tokens each stays within its share of memory, `most` at most."""
    room = CACHE_BYTES
    if module.device.type == "cuda":
        room = int(GPU_SHARE * torch.cuda.get_device_properties(module.device).total_memory)
    return max(1, min(most, room // (tokens * cache_bytes_per_token(module))))


def cache_bytes_per_token(module: PreTrainedModel) -> int:
    """Size of one token's keys and values over all layers."""
    config = module.config.get_text_config()
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    key_heads = getattr(config, "num_key_value_heads", None) or heads
    return int(2 * config.num_hidden_layers * key_heads * width * module.dtype.itemsize)
