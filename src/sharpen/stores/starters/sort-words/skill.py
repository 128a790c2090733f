"""Made of template edits. The question comes in as text; the answer goes out as text."""


def solve(question: str) -> str:
    """Answer a question."""
    x = question
    x = x.rsplit(":", 1)[-1]
    x = x.strip().split(", ")
    x = sorted(x)
    x = ", ".join(map(str, x))
    return str(x)
