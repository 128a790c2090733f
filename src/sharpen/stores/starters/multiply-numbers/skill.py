"""Made of template edits. The question comes in as text; the answer goes out as text."""

import math
import re


def solve(question: str) -> str:
    """Answer a question."""
    x = question
    x = list(map(int, re.findall(r"\d+", x)))
    x = math.prod(x)
    return str(x)
