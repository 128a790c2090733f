"""What a verifier or judge says of an attempt. An error is never a zero."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from sharpen.core.records import Record


class Scored(Record):
    """The attempt was judged; 0 is wrong, 1 is right."""

    outcome: Literal["scored"] = "scored"
    value: float = Field(allow_inf_nan=False)
    critique: str = ""
    evidence: Mapping[str, JsonValue] = Field(default_factory=dict)


class Rejected(Record):
    """The attempt broke the rules (an attack, a leak); it earns nothing and is counted apart."""

    outcome: Literal["rejected"] = "rejected"
    reason: str


class Error(Record):
    """The judge failed, so nothing is known about the attempt; it stays out of every mean."""

    outcome: Literal["error"] = "error"
    kind: str
    detail: str = ""


Verdict = Annotated[Scored | Rejected | Error, Field(discriminator="outcome")]


def value_of(verdict: Scored | Rejected | Error) -> float | None:
    """The number that enters means: the score, 0 for a rejection, None for an error."""
    match verdict:
        case Scored(value=value):
            return value
        case Rejected():
            return 0.0
        case Error():
            return None
