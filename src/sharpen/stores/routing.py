"""Routers: which skills of a library fit a question, best first.

`bm25` counts shared words. A dense router embeds question and skill by one linear map of hashed n-grams;
its score is their cosine. Numbers are one word to both, so that a kind of question looks the same each time.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sharpen.core.errors import BadInput, Unavailable
from sharpen.stores.skills import Library

PART = "router"
FILE = "router.safetensors"
BUCKETS = 4096
"""Hash places of n-grams."""
WORD = re.compile(r"[^\W\d_]+|\d+|[+*/%=?^-]")
MAX_WORDS = 400
"""Words of a text that a router reads."""

Floats = NDArray[np.float32]


class Router(Protocol):
    """Scores skills for questions."""

    def scores(self, library: Library, questions: Sequence[str]) -> Floats:
        """(questions, skills): higher fits better."""


def words(text: str) -> list[str]:
    """Lower-case words and signs; every number is the word `0`."""
    found = WORD.findall(text.lower()[: 10 * MAX_WORDS])[:MAX_WORDS]
    return ["0" if word.isdigit() else word for word in found]


@lru_cache(maxsize=4096)
def features(text: str) -> tuple[int, ...]:
    """Hash places of the text's words, word pairs and letter triples of words, each once."""
    row = words(text)
    grams = set(row) | {f"{a} {b}" for a, b in pairwise(row)}
    grams |= {f"#{word[i : i + 3]}" for word in row for i in range(len(word) - 2)}
    return tuple(sorted({zlib.crc32(gram.encode()) % BUCKETS for gram in grams}))


def bags(texts: Sequence[str]) -> Floats:
    """(texts, BUCKETS): rows of length one, all hash places of a text with equal weight."""
    found = np.zeros((len(texts), BUCKETS), dtype=np.float32)
    for row, text in enumerate(texts):
        places = list(features(text))
        found[row, places] = 1.0 / max(1, len(places)) ** 0.5
    return found


class Dense:
    """Cosine of linear embeddings of hashed n-grams."""

    def __init__(self, weights: Floats) -> None:
        """`weights`: (BUCKETS, dimensions)."""
        self.weights = weights

    def embed(self, texts: Sequence[str]) -> Floats:
        """(texts, dimensions), rows of length one."""
        raw = bags(texts) @ self.weights
        found: Floats = raw / np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-6)
        return found

    def scores(self, library: Library, questions: Sequence[str]) -> Floats:
        """(questions, skills): cosines, rounded so that a machine's last bit decides nothing."""
        skills = self.embed([skill.routing_text for skill in library.skills])
        found: Floats = np.round(self.embed(questions) @ skills.T, 4)
        return found


class BM25:
    """Okapi BM25 over names and descriptions."""

    def scores(self, library: Library, questions: Sequence[str]) -> Floats:
        """(questions, skills)."""
        try:
            import bm25s
        except ImportError:
            raise Unavailable(
                "the package bm25s is not installed", remedy="pip install 'sharpen[search]'"
            ) from None
        index = bm25s.BM25(backend="numpy")
        index.index([words(skill.routing_text) for skill in library.skills], show_progress=False)
        known = set(index.vocab_dict)
        found = np.zeros((len(questions), len(library)), dtype=np.float32)
        for row, question in enumerate(questions):
            if tokens := [word for word in words(question) if word in known]:
                found[row] = index.get_scores(tokens)
        return np.round(found, 4)


def open_router(files: Mapping[str, bytes] | None) -> Router:
    """The dense router of a part's contents; BM25 where there is none. BadInput for a damaged file."""
    if files is None:
        return BM25()
    from safetensors.numpy import load

    weights = load(files[FILE])["weights"]
    if weights.ndim != 2 or weights.shape[0] != BUCKETS:
        raise BadInput(FILE, weights.shape, "is not a router's weights", remedy=f"({BUCKETS}, dimensions)")
    return Dense(weights.astype(np.float32))


def ranked(router: Router, library: Library, questions: Sequence[str]) -> list[tuple[str, ...]]:
    """Names of all skills for each question, best first; equals by utility, then by name."""
    if not library.skills or not questions:
        return [()] * len(questions)
    scores = router.scores(library, questions)
    return [
        tuple(
            skill.name
            for _, skill in sorted(
                zip(row.tolist(), library.skills, strict=True),
                key=lambda pair: (-pair[0], -pair[1].utility, pair[1].name),
            )
        )
        for row in scores
    ]
