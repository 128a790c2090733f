"""Responses that think before they answer: made of facts, and recognised."""

from __future__ import annotations

from collections.abc import Mapping

OPEN, CLOSE = "<think>", "</think>"
MARK = "####"
"""What the answer stands behind."""


def explained(facts: Mapping[str, str], answer: str, *, thinking: bool = True) -> str:
    """What is known, between the marks of a thought, and then the answer."""
    known = ", ".join(f"{name} {value}" for name, value in facts.items())
    return f"{OPEN} {known} {CLOSE}\n{MARK} {answer}" if thinking else f"{MARK} {answer}"


def thinks(response: str) -> bool:
    """Whether a response is one closed thought and then something."""
    before, opened, rest = response.partition(OPEN)
    inside, closed, after = rest.partition(CLOSE)
    return bool(opened and closed and inside.strip() and after.strip()) and not before.strip()
