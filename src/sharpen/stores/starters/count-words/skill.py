"""Made of template edits. The question comes in as text; the answer goes out as text."""


def solve(question: str) -> str:
    """Answer a question."""
    x = question
    x = x.rsplit(":", 1)[-1]
    x = x.split()
    x = len(x)
    return str(x)
