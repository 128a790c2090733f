"""Which texts say the same: clusters of duplicates and near-duplicates, found exactly and fast.

Two texts are near-duplicates if the word pairs in them overlap by at least 0.9 (Jaccard) and they hold the
same numbers in the same order: problems of one template with other numbers are different problems. Of a text
of more than 4,000 words the words after those are not compared, its numbers are.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise

from sharpen.core.task import Task

OVERLAP = 0.9
MOST_WORDS = 4_000
WORD = re.compile(r"\w+|[^\w\s.,;:?'\"]")
DIGITS = re.compile(r"\d+")

Pairs = frozenset[tuple[str, str, int]]


def normal(text: str) -> str:
    """Lower case with single spaces; texts equal in this form are exact duplicates."""
    return " ".join(text.casefold().split())


def told(task: Task) -> str:
    """A task's question, behind it its pictures as numbers: about another picture it is another question."""
    numbers = [str(int(picture.sha[:16], 16)) for picture in task.pictures]
    return " ".join([task.question, *numbers])


def clusters(texts: Sequence[str]) -> list[int]:
    """For every text the place of the first text of its cluster."""
    parents = list(range(len(texts)))
    for one, other in _similar_pairs(texts):
        first, second = sorted((_root(parents, one), _root(parents, other)))
        parents[second] = first
    return [_root(parents, place) for place in range(len(texts))]


def _root(parents: list[int], place: int) -> int:
    while parents[place] != place:
        parents[place] = parents[parents[place]]
        place = parents[place]
    return place


class Index:
    """Texts that others are held against. Only those that share one of their rarest pairs are compared."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._sets = [_word_pairs(text) for text in texts]
        self._counts = Counter(pair for found in self._sets for pair in found)
        self._places: defaultdict[object, list[int]] = defaultdict(list)
        self._rarest = [self._keys(text, found) for text, found in zip(texts, self._sets, strict=True)]
        for place, keys in enumerate(self._rarest):
            for key in keys:
                self._places[key].append(place)

    def like(self, text: str) -> list[int]:
        """Places of the texts that say the same, in order."""
        found = _word_pairs(text)
        return self._near(found, self._keys(text, found))

    def twins(self, place: int) -> list[int]:
        """Places of the texts that say the same as one of them, in order."""
        return self._near(self._sets[place], self._rarest[place])

    def _near(self, found: Pairs, keys: Sequence[object]) -> list[int]:
        near = dict.fromkeys(place for key in keys for place in self._places.get(key, ()))
        return sorted(place for place in near if _overlap(found, self._sets[place]) >= OVERLAP)

    def _keys(self, text: str, found: Pairs) -> list[object]:
        # One string, whose hash is kept: it is part of hundreds of keys.
        numbers = " ".join(DIGITS.findall(text))
        rarest_first = sorted(found, key=lambda pair: (self._counts[pair], pair))
        return [(numbers, pair) for pair in rarest_first[: len(found) - _least_common(len(found)) + 1]]


def _similar_pairs(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    index = Index(texts)
    for place in range(len(texts)):
        yield from ((other, place) for other in index.twins(place) if other < place)


def _word_pairs(text: str) -> Pairs:
    """Neighbouring words, each pair with how often it came before: a bag of pairs as a set."""
    seen: Counter[tuple[str, str]] = Counter()
    found = set()
    words = (found[0] for found in islice(WORD.finditer(normal(text)), MOST_WORDS))
    for pair in pairwise(["", *words, ""]):
        found.add((*pair, seen[pair]))
        seen[pair] += 1
    return frozenset(found)


def _least_common(size: int) -> int:
    """Fewest common elements with a set of any size at which the overlap can reach the limit."""
    return max(1, -int(-OVERLAP * size // 1))


def _overlap(one: Pairs, other: Pairs) -> float:
    common = len(one & other)
    return common / (len(one) + len(other) - common)
