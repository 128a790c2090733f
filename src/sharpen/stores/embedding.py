"""Texts as vectors: a protocol, and a cheap embedder that gives the same vectors everywhere.

Character n-grams hashed into a fixed number of places need no model and no fitting, know no vocabulary, and
put texts close that share words or parts of words. They know no synonyms: give a store another embedder
where those matter.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from sharpen.core.records import Record

Vectors = NDArray[np.float32]
"""[texts, width], every row of length 1, or 0 for a text without characters."""


class Embedder(Protocol):
    """Turns texts into vectors whose inner product is their similarity."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row per text; equal texts get equal rows."""


class Ngrams(Record):
    """Counts of character n-grams, damped by a square root, hashed with a sign."""

    shortest: int = Field(default=2, ge=1)
    longest: int = Field(default=4, ge=1)
    width: int = Field(default=1024, ge=16)
    """Places; n-grams that share one blur the similarity a little."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row per text, case and spacing aside."""
        rows = np.zeros((len(texts), self.width), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            padded = f" {' '.join(text.casefold().split())} ".encode()
            for size in range(self.shortest, self.longest + 1):
                for start in range(len(padded) - size + 1):
                    code = zlib.crc32(padded[start : start + size])
                    row[code % self.width] += 1.0 if code & 0x80000000 else -1.0
        rows = np.sign(rows) * np.sqrt(np.abs(rows))
        lengths = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        return np.asarray(rows / lengths, dtype=np.float32)
