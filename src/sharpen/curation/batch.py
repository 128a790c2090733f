"""A batch: the attempts a learner is given, each with a weight."""

from __future__ import annotations

from collections.abc import Iterable

from sharpen.core.attempt import Attempt
from sharpen.core.records import Record


class Item(Record):
    """An attempt to learn from; tokens written by policy or teacher carry loss."""

    attempt: Attempt
    weight: float = 1.0


class Batch(Record):
    """What a curator picked, in order."""

    items: tuple[Item, ...]

    def __len__(self) -> int:
        return len(self.items)


def batch_of(attempts: Iterable[Attempt]) -> Batch:
    """The attempts, each of weight 1."""
    return Batch(items=tuple(Item(attempt=attempt) for attempt in attempts))
