"""Made of template edits. The question comes in as text; the answer goes out as text."""

import re


def solve(question: str) -> str:
    """Answer a question."""
    x = question
    x = list(map(int, re.findall(r"\d+", x)))
    x = sum(x)
    return str(x)
