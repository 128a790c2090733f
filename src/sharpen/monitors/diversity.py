"""How different texts are from each other: shares, templates, and distances between their embeddings.

A score that rises while these fall is a collapse. The embeddings are hashed character n-grams unless another
embedder is given; sums are rounded, so that a machine's last bit decides nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from math import exp, log
from typing import TYPE_CHECKING, Any

from sharpen.core.records import Record

if TYPE_CHECKING:
    from sharpen.stores.embedding import Embedder

NUMBER = re.compile(r"\d+")
DIGITS = 6
"""Decimal places that are kept."""


class Diversity(Record):
    """Variety of some texts; all three are None without any."""

    texts: int
    distinct: float | None
    """Different texts per text: 1 if no two are equal."""
    vendi: float | None
    """Vendi score: how many texts with nothing in common would be as various; from 1 to their number."""
    templates: float | None
    """Entropy (nats) of the texts with every number made the same."""

    @property
    def numbers(self) -> dict[str, float]:
        """The known ones by name."""
        found = {"distinct": self.distinct, "vendi": self.vendi, "templates": self.templates}
        return {name: value for name, value in found.items() if value is not None}


def diversity(texts: Sequence[str], embedder: Embedder | None = None) -> Diversity:
    """Measure all of it."""
    if not texts:
        return Diversity(texts=0, distinct=None, vendi=None, templates=None)
    return Diversity(
        texts=len(texts),
        distinct=len(set(texts)) / len(texts),
        vendi=vendi(texts, embedder),
        templates=entropy([template(text) for text in texts]),
    )


def template(text: str) -> str:
    """The text with every number made the same."""
    return NUMBER.sub("0", text)


def entropy(kinds: Sequence[str]) -> float:
    """Entropy (nats) of the kinds as they are spread over the texts; 0 for one kind or none."""
    shares = [count / len(kinds) for count in Counter(kinds).values()]
    return abs(-sum(share * log(share) for share in shares))


def vendi(texts: Sequence[str], embedder: Embedder | None = None) -> float:
    """exp of the entropy of the eigenvalues of K / n, K the texts' cosines (arXiv 2210.02410).

    ValueError without texts.
    """
    import numpy as np

    if not texts:
        raise ValueError("no texts")
    counts = Counter(texts)
    shares = np.sqrt(np.asarray(list(counts.values()), dtype=np.float64) / len(texts))
    rows = _embedded(list(counts), embedder) * shares[:, None]
    values = np.linalg.eigvalsh(rows @ rows.T)
    values = values[values > 1e-12]
    effective = exp(-float((values * np.log(values)).sum()))
    return round(min(max(effective, 1.0), float(len(counts))), DIGITS)


def distances(texts: Sequence[str], embedder: Embedder | None = None) -> tuple[float, ...]:
    """Distance of each text's embedding to the mean of all."""
    import numpy as np

    if not texts:
        return ()
    rows = _embedded(texts, embedder)
    far = np.linalg.norm(rows - rows.mean(axis=0), axis=1)
    return tuple(round(float(value), DIGITS) for value in far)


def relative_distances(texts: Sequence[str], embedder: Embedder | None = None) -> tuple[float, ...]:
    """Distances to the mean over the range of these distances; 1 where all are equally far."""
    far = distances(texts, embedder)
    span = max(far, default=0.0) - min(far, default=0.0)
    return tuple(one / span if span > 0 else 1.0 for one in far)


def _embedded(texts: Sequence[str], embedder: Embedder | None) -> Any:
    """[texts, width] in double precision."""
    from sharpen.stores.embedding import Ngrams

    return (embedder or Ngrams()).embed(texts).astype("float64")
