"""Captions as vectors: hashed words in their places, through a small network. No vocabulary is needed."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sharpen.core.seeds import seed_for

WORDS = 2048
"""Rows of the word table."""
PLACES = 12
"""Words of a caption that are read."""
_WORD = re.compile(r"\w+")


class Captions(nn.Module):
    """Words in their places -> one vector of `width` numbers."""

    def __init__(self, width: int, *, inner: int = 12) -> None:
        """`inner` is the width of a word."""
        super().__init__()
        self.table = nn.Embedding(WORDS, inner)
        self.mix = nn.Linear(inner * PLACES, 2 * width)
        self.out = nn.Sequential(nn.Linear(2 * width, width), nn.LayerNorm(width))

    def forward(self, ids: Tensor) -> Tensor:
        """B x PLACES word ids -> B x width."""
        words = self.table(ids).flatten(1)
        vectors: Tensor = self.out(nn.functional.silu(self.mix(words)))
        return vectors


def word_ids(captions: Sequence[str]) -> Tensor:
    """B x PLACES ids of lower-case words; 0 where a caption has ended."""
    rows = [[_row(word) for word in _WORD.findall(text.lower())[:PLACES]] for text in captions]
    return torch.tensor([row + [0] * (PLACES - len(row)) for row in rows])


def _row(word: str) -> int:
    return 1 + seed_for("word", word) % (WORDS - 1)
