"""What a verifier is: one module here, found by its file name, with these names in it.

- `verify(response, task, **options) -> Verdict`: pure; options are keyword-only and typed. If its first
  parameter is annotated `Attempt`, it is `verify(attempt, task, files, **options)` and sees the whole attempt
  with the bytes of its files.
- `extract(response, **options) -> str | None`: the canonical answer in a response, for majority votes; left
  out where attempts have no answer that could be voted on.
- `CASES`: responses that prove it: gold must score 1, near misses and attacks must earn nothing.
- `ISOLATION`: where it runs. Optional: `CHANNEL` (what it looks at, by default LABEL), `DEADLINE` (seconds in
  a worker process), `PRELOAD` (modules that workers are to start with), `PACKAGES` (distributions whose
  version is part of its identity).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Protocol

from pydantic import JsonValue

from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.records import Record, hash_bytes
from sharpen.core.task import Channel, Task
from sharpen.core.verdict import Error, Rejected, Scored, Verdict

MAX_RESPONSE = 20_000
"""Characters of a response beyond which it is rejected unread."""

RIGHT = Scored(value=1.0)
NO_ANSWER = Scored(value=0.0, critique="no answer found")
NEEDS_ONE_ANSWER = Rejected(reason="several answers offered")
TOO_LONG = Rejected(reason="too long")


class Isolation(StrEnum):
    """Where a verifier runs."""

    INLINE = "inline"
    """In the caller's process: its time is bounded by the length of the response."""
    PROCESS = "process"
    """In a worker process with a deadline: it may hang, crash or run code of the user's."""


class CaseKind(StrEnum):
    """What a case proves."""

    GOLD = "gold"
    NEAR_MISS = "near_miss"
    ATTACK = "attack"


class Case(Record):
    """A response whose verdict is known beforehand."""

    kind: CaseKind
    response: str
    task: Task
    outcome: Mapping[str, JsonValue] = {}
    files: Mapping[str, bytes] = {}

    @property
    def attempt(self) -> Attempt:
        """The case as an attempt; its files go by their hashes, as stored ones do."""
        return Attempt(
            task=self.task.key,
            index=0,
            policy="case",
            turns=(Turn(author=Author.POLICY, text=self.response),),
            outcome=self.outcome,
            files={name: hash_bytes(data) for name, data in self.files.items()},
        )


class Verifier(Protocol):
    """An opened verifier; see sharpen.verifiers.source."""

    @property
    def name(self) -> str:
        """The spec it was opened with."""

    @property
    def fingerprint(self) -> str:
        """Hash of its source, its options and the versions of the packages it declares."""

    @property
    def channel(self) -> Channel:
        """What it looks at."""

    def extract(self, response: str) -> str | None:
        """The canonical answer in a response; None if there is none."""

    @property
    def sees_attempt(self) -> bool:
        """Whether it looks at the whole attempt, so that a text alone cannot be judged."""

    def judge(self, pairs: Sequence[tuple[Task, Attempt]], read: Callable[[str], bytes]) -> list[Verdict]:
        """One verdict per (task, attempt), in order; a judge that fails gives Error, never a zero."""

    def judge_texts(self, pairs: Sequence[tuple[Task, str]]) -> list[Verdict]:
        """The same for bare responses."""


def wrong(critique: str) -> Scored:
    """An answer that was understood and is not right."""
    return Scored(value=0.0, critique=critique)


def bad_reference(detail: str) -> Error:
    """The task's own answer cannot be used, so nothing is known about the response."""
    return Error(kind="bad reference", detail=detail)


def cases(
    answer: str,
    *,
    question: str = "What is it?",
    metadata: Mapping[str, JsonValue] | None = None,
    gold: Sequence[str] = (),
    near_miss: Sequence[str] = (),
    attack: Sequence[str] = (),
) -> tuple[Case, ...]:
    """Cases of one task."""
    task = Task.ask(question, answer, metadata=metadata)
    kinds = ((CaseKind.GOLD, gold), (CaseKind.NEAR_MISS, near_miss), (CaseKind.ATTACK, attack))
    return tuple(Case(kind=kind, response=text, task=task) for kind, texts in kinds for text in texts)
