"""Meters and budgets. What is deterministic (tokens, calls) is kept apart from what is not (seconds)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from pydantic import Field

from sharpen.core.errors import BadInput, BudgetExhausted
from sharpen.core.records import Record


class Purpose(StrEnum):
    """On whose account work is done. Budgets bind the method; measuring it is free but metered."""

    PREPARATION = "preparation"
    """Making the policy that a method starts from, where a recipe needs a special one."""
    METHOD = "method"
    EVALUATION = "evaluation"
    CONTROL = "control"


class Usage(Record):
    """Deterministic use of resources."""

    sampled_tokens: int = 0
    trained_tokens: int = 0
    model_calls: int = 0
    judge_calls: int = 0
    environment_steps: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in Usage.model_fields})


@dataclass
class Meter:
    """Adds up what a part of a step uses."""

    used: Usage = field(default_factory=Usage)

    def add(self, usage: Usage) -> None:
        """Count this, too."""
        self.used = self.used + usage


class Timing(Record):
    """Use that may differ from one run to an equal one: time and money; never part of a hash."""

    seconds: float = 0.0
    model_seconds: float = 0.0
    dollars: float | None = 0.0
    """None if something was paid for at a price that nobody gave."""

    def __add__(self, other: Timing) -> Timing:
        known = self.dollars is not None and other.dollars is not None
        return Timing(
            seconds=self.seconds + other.seconds,
            model_seconds=self.model_seconds + other.model_seconds,
            dollars=(self.dollars or 0.0) + (other.dollars or 0.0) if known else None,
        )

    def __sub__(self, other: Timing) -> Timing:
        return self + Timing(
            seconds=-other.seconds,
            model_seconds=-other.model_seconds,
            dollars=None if other.dollars is None else -other.dollars,
        )


class Budget(Record):
    """Upper limits on what a method may use; a limit that is None does not bind."""

    sampled_tokens: float | None = Field(default=None, gt=0)
    trained_tokens: float | None = Field(default=None, gt=0)
    model_calls: float | None = Field(default=None, gt=0)
    judge_calls: float | None = Field(default=None, gt=0)
    environment_steps: float | None = Field(default=None, gt=0)
    seconds: float | None = Field(default=None, gt=0)
    dollars: float | None = Field(default=None, gt=0)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `sampled_tokens=2e6,seconds=600`."""
        limits: dict[str, float] = {}
        for part in filter(None, (piece.strip() for piece in text.split(","))):
            meter, _, number = part.partition("=")
            if meter not in cls.model_fields:
                raise BadInput(
                    "budget", meter, "no such meter", remedy=f"one of: {', '.join(cls.model_fields)}"
                )
            limits[meter] = _positive(meter, number)
        return cls(**limits)

    def check(self, usage: Usage, timing: Timing) -> None:
        """Raise BudgetExhausted if any meter has reached its limit; BadInput for money of unknown amount."""
        used = {**usage.model_dump(), "seconds": timing.seconds, "dollars": timing.dollars}
        for meter, limit in self.model_dump(exclude_none=True).items():
            if used[meter] is None:
                remedy = "give the prices: --price in=DOLLARS,out=DOLLARS, per million tokens"
                raise BadInput("budget", f"{meter}={limit:g}", "it is not known what is spent", remedy=remedy)
            if used[meter] >= limit:
                raise BudgetExhausted(meter, used[meter], limit)


def _positive(meter: str, number: str) -> float:
    try:
        value = float(number)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise BadInput(
            "budget",
            f"{meter}={number}",
            "is not a positive number",
            remedy=f"write a positive number, e.g. {meter}=600",
        )
    return value
