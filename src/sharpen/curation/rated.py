"""What a reward model learns from: attempts with what they, or their steps, are worth."""

from __future__ import annotations

from collections.abc import Sequence

from sharpen.core.attempt import Attempt
from sharpen.core.records import Record
from sharpen.core.seeds import random_for
from sharpen.core.verdict import Verdict, value_of


class Rated(Record):
    """An attempt and its worth."""

    attempt: Attempt
    values: tuple[float, ...]
    """Worth of the whole response; or of what stood there at the end of each of its lines, in order."""


class Ratings(Record):
    """Rated attempts, in order; those of one task are compared with each other."""

    items: tuple[Rated, ...]

    def __len__(self) -> int:
        return len(self.items)


def rated(attempts: Sequence[Attempt], verdicts: Sequence[Verdict]) -> Ratings:
    """Different responses to each task with their verdicts as values; where those are unknown, left out."""
    seen: dict[tuple[str, str], Rated] = {}
    for attempt, verdict in zip(attempts, verdicts, strict=True):
        if (value := value_of(verdict)) is not None:
            seen.setdefault((attempt.task, attempt.response), Rated(attempt=attempt, values=(value,)))
    return Ratings(items=tuple(seen.values()))


def shuffled(verdicts: Sequence[Verdict], *key: object) -> tuple[Verdict, ...]:
    """The same verdicts dealt out to other attempts; for ablations."""
    dealt = list(verdicts)
    random_for("shuffled verdicts", *key).shuffle(dealt)
    return tuple(dealt)
