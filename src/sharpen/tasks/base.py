"""What a task family is: one module here with a `generate` function; its keyword arguments are the dials."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sharpen.core.task import Task


@dataclass(frozen=True)
class Problem:
    """A question, its worked steps (one per line) and its answer."""

    question: str
    steps: tuple[str, ...]
    answer: str

    @property
    def solution(self) -> str:
        """The worked solution as a policy should write it; the last line is `#### answer`."""
        return "\n".join((*self.steps, f"#### {self.answer}"))

    def as_task(self, family: str) -> Task:
        """The problem as a task."""
        return Task.ask(self.question, self.answer, solution=self.solution, family=family)


class Generate(Protocol):
    """A family's generator: draws one problem from its own random stream."""

    def __call__(self, rng: random.Random, *, level: int) -> Problem: ...


Dials = Callable[..., Problem]
