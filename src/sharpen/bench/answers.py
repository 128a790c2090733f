"""Answers to judge, some of them poison; worker processes import these functions by name."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from sharpen.core.task import Task
from sharpen.verifiers.base import MAX_RESPONSE


class Poison(StrEnum):
    """What a judge does with a bad answer."""

    HANG = "hang"
    CRASH = "crash"


class Answer(NamedTuple):
    """A response to judge."""

    response: str
    wanted: str
    poison: Poison | None = None


EVERY = 100
"""One answer in so many is poison."""
GROUP = 16
"""Answers to one question."""
RIGHT, WRONG = "So we add both up.\n#### {}", "So we add both up, and then one more.\nThe answer is {}."


def mixture(count: int, *, poisoned: bool, start: int = 0) -> list[Answer]:
    """Answers in groups, as samples of a model come: most are numbers, one group in eight wants meaning.

    Those from another `start` on are of other questions.
    """
    bad = (Poison.HANG, Poison.CRASH)
    return [
        Answer(*_answer(n), bad[n // EVERY % 2] if poisoned and n % EVERY == EVERY // 2 else None)
        for n in range(start, start + count)
    ]


def batches(count: int, number: int) -> Iterator[list[Answer]]:
    """Mixtures, none of which has answers of another: judges remember what they have parsed."""
    starts = [n * (count + GROUP) // GROUP * GROUP for n in range(number)]
    return iter([mixture(count, poisoned=False, start=start) for start in starts])


def _answer(number: int) -> tuple[str, str]:
    """Response and reference; half of a group's answers are right, the others are wrong in three ways."""
    task, shift = number // GROUP, max(0, number % GROUP % 6 - 2)
    a, b = task % 97 + 2 + shift, task % 89 + 3
    wanted = _written(task % 8, task + 2, task % 97 + 2, b)
    found = (
        _written(task % 8, task + 2 + shift, a, b)
        if number % 2
        else _respelt(task % 8, task + 2 + shift, a, b)
    )
    return (WRONG if shift else RIGHT).format(found), wanted


def _written(kind: int, whole: int, a: int, b: int) -> str:
    match kind:
        case 5:
            return rf"\frac{{{a}}}{{{b}}}"
        case 6:
            return f"x^2+{whole}x"
        case 7:
            return f"{whole}x+{b}"
        case _:
            return str(whole)


def _respelt(kind: int, whole: int, a: int, b: int) -> str:
    """The same in other words; only the last kind has to be parsed as a formula."""
    match kind:
        case 5:
            return f"{2 * a}/{2 * b}"
        case 6:
            return rf"\boxed{{x^2 + {whole}x}}"
        case 7:
            return f"{b}+{whole}x"
        case _:
            return f"{whole}.0"


def formulas(count: int) -> list[Answer]:
    """Answers in groups of which every one has to be parsed: half are right, in two spellings."""
    return [Answer(*_formula(n)) for n in range(count)]


def _formula(number: int) -> tuple[str, str]:
    task, shift = number // GROUP, max(0, number % GROUP % 6 - 2)
    a, b = task + 2 + shift, task % 89 + 3
    shapes = (
        ("{0}x+{1}", "{1}+{0}x"),
        (r"{0}\pi+{1}", r"{1}+{0}\pi"),
        (r"{0}\sqrt{{{1}x}}", r"\sqrt{{{1}x}}\cdot {0}"),
    )
    written, respelt = shapes[task % len(shapes)]
    found = (written if number % 2 else respelt).format(a, b)
    return (WRONG if shift else RIGHT).format(found), written.format(task + 2, b)


def numbers(count: int) -> list[tuple[Task, str]]:
    """Questions with whole numbers for answers, in groups; half of the responses are right."""
    forms = (
        "#### {0}",
        "So we get {0} in the end.\nThe answer is {0}.",
        "Adding both:\n12+{0}\n#### {0}",
        "\\boxed{{{0}}}",
    )
    return [(_task(str(n // GROUP)), forms[n % 4].format(n // GROUP + n // 4 % 2)) for n in range(count)]


def judge(answer: Answer) -> float:
    """What a mathematical answer is worth; poison hangs or ends the process."""
    if answer.poison is Poison.HANG:
        time.sleep(3600)
    if answer.poison is Poison.CRASH:
        os._exit(3)
    from sharpen.core.verdict import value_of
    from sharpen.verifiers.math import verify

    return value_of(verify(answer.response[:MAX_RESPONSE], _task(answer.wanted))) or 0.0


def judge_all(answers: Sequence[Answer]) -> list[float]:
    """One after the other."""
    return [judge(answer) for answer in answers]


@lru_cache(maxsize=1024)
def _task(wanted: str) -> Task:
    return Task.ask("What is it?", wanted)
