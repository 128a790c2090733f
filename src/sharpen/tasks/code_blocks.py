"""Python that stands in a text between fences."""

from __future__ import annotations

import re
from collections.abc import Iterator

_FENCE = "```"
_LANGUAGE = re.compile(r"[\w+-]*")
_PYTHON = frozenset(("", "py", "python", "python3"))


def python_blocks(text: str) -> list[str]:
    """The insides of all closed blocks that are marked as Python, or not marked, in order."""
    return [code for language, code in _blocks(text) if language.lower() in _PYTHON]


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """Language and inside of every closed block: it ends at the first bare fence. One pass over the lines."""
    language: str | None = None
    inside: list[str] = []
    for line in text.split("\n"):
        mark = _after_fence(line)
        if language is not None and mark == "":
            yield language, "".join(inside)
            language = None
        elif language is not None:
            inside.append(line + "\n")
        elif mark is not None and _LANGUAGE.fullmatch(mark):
            language, inside = mark, []


def _after_fence(line: str) -> str | None:
    """What stands after the fence that a line begins with; None for another line."""
    bare = line.removesuffix("\r").strip(" \t")
    return bare[len(_FENCE) :].strip(" \t") if bare.startswith(_FENCE) else None
