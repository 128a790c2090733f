"""Preference pairs as records: what is preferred, by whom and why, how surely, and what carries loss."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from sharpen.core.attempt import Attempt
from sharpen.core.records import Record


class Preferred(StrEnum):
    """By what one response stands above another."""

    VERIFIER = "verifier"
    JUDGE = "judge"
    SELF = "self"
    """The policy's own word, or what was asked of it."""
    SEARCH = "search"
    """Values or visits of a search tree."""
    REFINEMENT = "refinement"
    """It is the later one of a chain of revisions."""


class Span(StrEnum):
    """Which tokens of both responses carry loss, of those that may."""

    WHOLE = "whole"
    DIVERGING = "diverging"
    """From the first one at which they differ."""
    AFTER = "after"
    """Those after the last occurrence of the pair's marker; all where it does not occur."""


class Pair(Record):
    """Two attempts at one task, the preferred one first."""

    better: Attempt
    worse: Attempt
    margin: float = 1.0
    """Difference of their rewards."""
    label: float = Field(default=1.0, ge=0, le=1)
    """How surely the better one is the better one."""
    by: Preferred = Preferred.VERIFIER
    """By what it is preferred."""
    why: str = ""
    """The reason in words, where there is one."""
    span: Span = Span.WHOLE
    """What carries loss."""
    marker: str = ""
    """The text that the loss begins after, with span `after`."""
    refines: bool = False
    """Whether the prompt shows an earlier answer, so that a revision is learnt."""


class Pairs(Record):
    """Pairs, in order."""

    items: tuple[Pair, ...]

    def __len__(self) -> int:
        return len(self.items)
