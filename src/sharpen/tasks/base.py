"""What a task family is: a module here with `LEVELS` and `generate`, whose keyword arguments are dials.

Optional: `VERIFIER` (spec of its default verifier), `ACTOR` (how tasks are tried; one answer if unset), and
`draw(data_seed, **dials) -> Iterator[Task]`, which makes the tasks of a set where they hang together.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Protocol

from sharpen.core.errors import BadInput
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

    def __call__(self, rng: random.Random, *, level: int = 2) -> Problem | Task:
        """Draw a problem, or a task where there is more to say; equal streams give equal ones.

        BadInput for a level outside `LEVELS`.
        """


def check_range(dial: str, value: int, allowed: range) -> None:
    """Raise BadInput unless the value of a dial is in the range."""
    if value not in allowed:
        span = f"{allowed.start} to {allowed.stop - 1}"
        raise BadInput(dial, value, f"is outside {span}", remedy=f"give {dial} from {span}")
