"""Words from an entry of a manual: which entry is it? To be searched for, in sharpen.environments.search.

The dial `words` says how many words of the entry are given, in their order, and `gap` how many of those in
between are left out at most: fewer words, further apart, are harder to place.
"""

from __future__ import annotations

import random

from sharpen.core.task import Message, Role, Task
from sharpen.environments.corpora import documents
from sharpen.environments.corpora import words as words_of
from sharpen.tasks.base import check_range

VERIFIER = "outcome"
ACTOR = "episodes"
WORDS, GAPS = range(2, 21), range(11)


def generate(rng: random.Random, *, corpus: str = "python", words: int = 8, gap: int = 2) -> Task:
    """Draw an entry and some of its words."""
    check_range("words", words, WORDS)
    check_range("gap", gap, GAPS)
    entries = documents(corpus)
    title = rng.choice(list(entries))
    text = [word for word in words_of(entries[title]) if word not in words_of(title)]
    place = rng.randrange(max(1, len(text) - words * (gap + 1)))
    picked: list[str] = []
    while len(picked) < words and place < len(text):
        picked.append(text[place])
        place += 1 + rng.randint(0, gap)
    return Task(
        messages=(Message(role=Role.USER, content=" ".join(picked)),),
        answer=title,
        environment="search",
        world={"corpus": corpus},
        metadata={"topic": corpus},
    )
