"""Python that stands in a text between fences."""

from __future__ import annotations

import re

_FENCE = re.compile(r"^[ \t]*```[ \t]*([\w+-]*)[ \t]*\r?\n(.*?)^[ \t]*```[ \t]*$", re.DOTALL | re.MULTILINE)
_PYTHON = frozenset(("", "py", "python", "python3"))


def python_blocks(text: str) -> list[str]:
    """The insides of all closed blocks that are marked as Python, or not marked, in order."""
    return [code for language, code in _FENCE.findall(text) if language.lower() in _PYTHON]
