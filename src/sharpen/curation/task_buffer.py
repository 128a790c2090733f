"""A buffer of start states: tasks, alone or with answers that were given so far, the most learnable kept.

A start state is scored when it is tried; what grows out of it has no score of its own yet and inherits. Draws
are by softmax. After prioritised replay of levels (arXiv 2010.03934) and of partial histories (2509.04575).
"""

from __future__ import annotations

import random
from functools import cached_property
from math import exp

from pydantic import Field

from sharpen.core.records import Record, digest
from sharpen.core.task import Task


class Start(Record):
    """A task, and the answers given to it so far, oldest first."""

    task: Task
    answers: tuple[str, ...] = ()

    @property
    def depth(self) -> int:
        """Number of answers."""
        return len(self.answers)

    @cached_property
    def key(self) -> str:
        """Content hash of task and answers: 16 hex digits."""
        return digest([self.task.key, self.answers])[:16]

    def after(self, answer: str) -> Start:
        """The start state with one more answer."""
        return Start(task=self.task, answers=(*self.answers, answer))

    def prefix(self, depth: int) -> Start:
        """The start state with its first answers only."""
        return Start(task=self.task, answers=self.answers[:depth])


class Entry(Record):
    """A start state and how much there is to learn from it."""

    start: Start
    score: float = Field(allow_inf_nan=False)


class TaskBuffer(Record):
    """At most `capacity` entries, each start state once."""

    capacity: int = Field(ge=1)
    entries: tuple[Entry, ...] = ()

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def mean(self) -> float:
        """Mean score; 0 if it is empty."""
        return sum(entry.score for entry in self.entries) / max(1, len(self))

    def put(self, *fresh: Entry) -> TaskBuffer:
        """The buffer with these entries, one after the other.

        A start state that is there gets its new score. A full buffer gives up its lowest entry, the oldest
        of equals, for one that scores at least as high, and takes no others.
        """
        found = {entry.start.key: entry for entry in self.entries}
        for entry in fresh:
            if entry.start.key not in found and len(found) == self.capacity:
                lowest = min(found, key=lambda key: found[key].score)
                if entry.score < found[lowest].score:
                    continue
                del found[lowest]
            found[entry.start.key] = entry
        return TaskBuffer(capacity=self.capacity, entries=tuple(found.values()))

    def drawn(self, rng: random.Random, kappa: float) -> Entry:
        """An entry with probability exp(kappa * score) / sum of these; kappa 0 draws uniformly.

        IndexError if the buffer is empty.
        """
        highest = max((entry.score for entry in self.entries), default=0.0)
        weights = [exp(kappa * (entry.score - highest)) for entry in self.entries]
        return rng.choices(self.entries, weights)[0]
