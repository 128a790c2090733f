"""Documents that are on every machine that runs this: Python's own manual and the manual of numpy.

Both come with what is installed, so they are real, free to use, and of the installed version.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sharpen.core.errors import BadInput
from sharpen.environments.base import Hit

CORPORA = ("python", "numpy")
TOP = 3
SHOWN = 160
"""Characters of a document that a search shows."""
_WORD = re.compile(r"[A-Za-z][A-Za-z_]{2,}")


def words(text: str) -> list[str]:
    """A text's words of three letters and more, in lower case."""
    return [word.casefold() for word in _WORD.findall(text)]


@cache
def documents(corpus: str) -> Mapping[str, str]:
    """Title -> text, in the order of titles; BadInput for a corpus that is not known."""
    match corpus:
        case "python":
            topics: Mapping[str, str] = importlib.import_module("pydoc_data.topics").topics
            found = dict(topics)
        case "numpy":
            numpy: Any = importlib.import_module("numpy")
            found = {name: inspect.getdoc(getattr(numpy, name, None)) or "" for name in numpy.__all__}
        case _:
            raise BadInput(
                "corpus", corpus, "there is no such corpus", remedy=f"one of: {', '.join(CORPORA)}"
            )
    return {title: found[title] for title in sorted(found) if len(words(found[title])) >= 40}


@dataclass(frozen=True)
class Corpus:
    """A corpus with its index, searched by BM25."""

    titles: Sequence[str]
    texts: Sequence[str]
    index: Any

    def search(self, query: str) -> Sequence[Hit]:
        """The best three documents with a word of the query: `title: how it begins`."""
        asked = list(dict.fromkeys(words(query)))
        if not asked:
            return []
        scores = self.index.get_scores(asked)
        ranked = sorted(range(len(self.titles)), key=lambda place: (-float(scores[place]), place))[:TOP]
        return [self._hit(place) for place in ranked if scores[place] > 0]

    def _hit(self, place: int) -> Hit:
        title, text = self.titles[place], " ".join(self.texts[place].split())
        return Hit(title, f"{title}: {text[:SHOWN]}")

    def __deepcopy__(self, memo: dict[int, Any]) -> Corpus:
        return self


@cache
def corpus_of(name: str) -> Corpus:
    """The corpus of this name, indexed once; BadInput if the library for it is not installed."""
    found = documents(name)
    index = indexed([words(f"{title} {text}") for title, text in found.items()])
    return Corpus(tuple(found), tuple(found.values()), index)


def indexed(texts: Sequence[Sequence[str]]) -> Any:
    """A BM25 index of texts, each given as its words; BadInput if the library for it is not installed."""
    try:
        import bm25s
    except ImportError as error:
        raise BadInput(
            "search", "bm25s", "the package is not installed", remedy="pip install 'sharpen[search]'"
        ) from error
    index = bm25s.BM25()
    index.index(list(texts), show_progress=False)
    return index
