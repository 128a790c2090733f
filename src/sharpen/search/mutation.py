"""Random changes to a record's fields, by their types alone: any typed genome can be varied with these."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from enum import Enum
from typing import TypeVar

from annotated_types import Ge, Le
from pydantic.fields import FieldInfo

from sharpen.core.records import Record

FAR = 0.5
"""Chance that a whole number is drawn anew instead of moved by one."""

R = TypeVar("R", bound=Record)


def bounds(info: FieldInfo) -> tuple[float, float]:
    """The `ge` and `le` of a numeric field; a field that lacks one cannot be varied (ValueError)."""
    low = next((limit.ge for limit in info.metadata if isinstance(limit, Ge)), None)
    high = next((limit.le for limit in info.metadata if isinstance(limit, Le)), None)
    if low is None or high is None:
        raise ValueError("a number needs both bounds to be varied")
    return float(low), float(high)  # type: ignore[arg-type]  # limits of numbers are numbers


def varied(record: R, names: Sequence[str], rng: random.Random, spread: float = 1.0) -> R:
    """The record with one of these fields changed to another value.

    Enumerations take another member, whole numbers any value or one beside their own, positive numbers are
    multiplied by exp(N(0, spread)). The result may equal the record where a bound stops the change.
    """
    name = rng.choice(list(names))
    value, info = getattr(record, name), type(record).model_fields[name]
    match value:
        case Enum():
            changed: object = rng.choice([member for member in type(value) if member is not value])
        case int():
            low, high = bounds(info)
            far = rng.random() < FAR
            changed = (
                rng.randint(int(low), int(high))
                if far
                else int(min(high, max(low, value + rng.choice((-1, 1)))))
            )
        case float():
            low, high = bounds(info)
            changed = round(min(high, max(low, value * math.exp(rng.gauss(0, spread)))), 4)
        case _:
            raise ValueError(f"{name} cannot be varied")
    return record.model_copy(update={name: changed})
