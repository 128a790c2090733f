"""A question whose answer is a small number, and a teacher who knows it and gives hints, but not the answer.

A move is a number. The teacher says `low` or `high` of it, or `wrong` where it knows nothing; a move that is
no number is asked for again. The episode ends with the right number, after `turns` moves, or with a hint that
gives the answer away: the leak fails the attempt.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from itertools import pairwise

from pydantic import Field

from sharpen.core.records import Record
from sharpen.core.task import Task
from sharpen.environments.base import Outcome, View

START, REMINDER = "go", "a number"
LOW, HIGH, WRONG = "low", "high", "wrong"
_NUMBER = re.compile(r"\d{1,6}")


class Lesson(Record):
    """Start state of an episode."""

    answer: int
    told: int | None
    """The number that the teacher's hints are about: the answer, or another one; none for bare refusals."""
    top: int = Field(ge=1)
    """Largest number that the student's script guesses."""
    heed: float = Field(default=0.0, ge=0, le=1)
    """Share of episodes in which that script heeds the hints."""
    turns: int = Field(ge=1)
    """Moves at most."""
    slips: float = Field(default=0.0, ge=0, le=1)
    """Share of hints in which the teacher gives away the number it has in mind."""


@dataclass
class Dialogue:
    """A running episode."""

    lesson: Lesson
    role: str
    rng: random.Random
    guesses: list[int | None] = field(default_factory=list)
    """Every move so far; none for one that is no number."""
    text: str = START
    """What is to be shown next."""
    heard: list[tuple[int, str]] = field(default_factory=list)
    """Guesses with the hints that came of them."""
    heeded: list[bool] = field(default_factory=list)
    """Of every guess after a hint, whether all hints so far leave it open."""
    heeding: bool = False
    leaked: bool = False

    def view(self) -> View | None:
        """A start signal, as the student was told the question before; then the teacher's hints."""
        over = self.solved or self.leaked or len(self.guesses) >= self.lesson.turns
        return None if over else View(self.role, self.text)

    def scripted(self, role: str) -> str:
        """A number by chance, in some episodes of those that the hints leave open."""
        numbers = range(self.lesson.top + 1)
        if not self.guesses:
            self.heeding = self.rng.random() < self.lesson.heed
        left = [number for number in numbers if self._possible(number)] if self.heeding else []
        return str(self.rng.choice(left or numbers))

    def _possible(self, number: int) -> bool:
        return all(
            {LOW: number > guess, HIGH: number < guess}.get(hint, number != guess)
            for guess, hint in self.heard
        )

    def move(self, text: str) -> None:
        """Take a guess; the teacher answers a wrong one, and its hint is looked through for the answer."""
        guess = int(text) if _NUMBER.fullmatch(text) else None
        self.guesses.append(guess)
        self.text = REMINDER if guess is None else self._hint(guess)
        if guess is not None:
            self.heeded += [self._possible(guess)] if self.heard else []
            self.heard.append((guess, self.text))
        self.leaked = not self.solved and leaks(self.text, self.lesson.answer)

    def _hint(self, guess: int) -> str:
        told = self.lesson.told
        if told is None:
            return WRONG
        if self.rng.random() < self.lesson.slips:
            return f"it is {told}"
        return LOW if guess < told else HIGH

    @property
    def solved(self) -> bool:
        """Whether the last guess is right."""
        return bool(self.guesses) and self.guesses[-1] == self.lesson.answer

    def outcome(self) -> Outcome:
        """Worth 1 if the answer was found; the facts say when, and how guesses followed hints."""
        found = self.solved and not self.leaked
        by_turn = {
            f"by_turn_{turn}": int(found and len(self.guesses) <= turn)
            for turn in range(1, self.lesson.turns + 1)
        }
        changes = [one != other for one, other in pairwise(self.guesses)]
        return Outcome(
            value=float(found),
            facts={
                **by_turn,
                "turns": len(self.guesses),
                "slope": by_turn[f"by_turn_{self.lesson.turns}"] - by_turn["by_turn_1"],
                "leaked": int(self.leaked),
                "malformed": sum(guess is None for guess in self.guesses),
                **({"plasticity": sum(changes) / len(changes)} if changes else {}),
                **({"heeded": sum(self.heeded) / len(self.heeded)} if self.heeded else {}),
            },
        )


def leaks(hint: str, answer: int) -> bool:
    """Whether a hint holds the answer as a number."""
    return str(answer) in re.findall(r"\d+", hint)


def start(task: Task, rng: random.Random) -> Dialogue:
    """Start an episode; `task.world` is a `Lesson`."""
    lesson = Lesson.model_validate(task.world)
    return Dialogue(lesson, task.role, rng)
