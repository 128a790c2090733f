"""A library of passages, searched by BM25, and the graph of what passages say.

A fact is a sentence `The RELATION of SUBJECT is OBJECT.`; other sentences are passed over. Passages may come
from anywhere, so what is read from them is text and nothing more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sharpen.core.errors import BadInput
from sharpen.environments.corpora import indexed, words

FACT = re.compile(r"\bThe (\w{1,40}) of (\w{1,40}) is (\w{1,40})\.")


class Asked(NamedTuple):
    """What a question is about."""

    subject: str
    relation: str


@dataclass(frozen=True)
class Library:
    """Passages with their index and the graph of all of them."""

    passages: tuple[str, ...]
    index: Any
    graph: Any

    @classmethod
    def of(cls, passages: Iterable[str]) -> Library:
        """The different passages, in order; BadInput if there is none."""
        kept = tuple(dict.fromkeys(passages))
        if not kept:
            raise BadInput(
                "task", "documents", "no training task has a passage", remedy="give them metadata `documents`"
            )
        return cls(kept, indexed([words(text) for text in kept]), graph_of(kept))

    def search(self, query: str, top: int) -> tuple[str, ...]:
        """The best passages that share a word with the query, at most `top`."""
        asked = [word for word in dict.fromkeys(words(query)) if word in self.index.vocab_dict]
        scores = self.index.get_scores(asked) if asked else [0.0] * len(self.passages)
        ranked = sorted(range(len(self.passages)), key=lambda place: (-float(scores[place]), place))
        return tuple(self.passages[place] for place in ranked[:top] if scores[place] > 0)


def graph_of(passages: Iterable[str]) -> Any:
    """A networkx graph with an edge from subject to object for every fact, keyed by its relation."""
    import networkx

    graph = networkx.MultiDiGraph()
    for passage in passages:
        for relation, subject, thing in FACT.findall(passage):
            graph.add_edge(subject, thing, key=relation)
    return graph


def facts_about(graph: Any, subject: str) -> dict[str, str]:
    """Relation -> object, in the order in which they were read."""
    return {relation: thing for _, thing, relation in graph.out_edges(subject, keys=True)}


def things(graph: Any, relation: str) -> list[str]:
    """Everything that a relation leads to, in alphabetical order."""
    return sorted({thing for _, thing, name in graph.edges(keys=True) if name == relation})


def asked_in(graph: Any, question: str) -> Asked | None:
    """The subject and relation of the graph that a question names; None if it names none."""
    said: Sequence[str] = re.findall(r"\w+", question)
    for subject in (word for word in said if word in graph):
        for relation in (word for word in said if word in facts_about(graph, subject)):
            return Asked(subject, relation)
    return None
