"""Make a number from others: put + or - between them, in the order given, so that the target comes out.

A level sets how many numbers there are. Running totals never fall below zero. In the style `short` a worked
solution goes straight to the target. In the style `long` it is a search: wrong turns are taken, now and
then the writer stops to check whether the target can still be reached, and if not goes back to the step
that was wrong. The last line, after `####`, is the expression alone.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from sharpen.core.errors import BadInput
from sharpen.core.task import Task
from sharpen.tasks.base import check_range

VERIFIER = "countdown"
COUNTS = (3, 4, 5, 6, 7, 8)
LEVELS = range(1, len(COUNTS) + 1)
LARGEST = 9
CHECK, GOOD, BAD = "check:", " ok", " no"
FORESIGHT, CHECKS = 0.55, 0.3
"""Of the long style: how often a step is known to be right, and how often a step is checked."""


class Style(StrEnum):
    """How a worked solution is written."""

    SHORT = "short"
    LONG = "long"


class Part(NamedTuple):
    """A piece of a worked solution."""

    text: str
    sound: bool = True
    """Whether it leads towards the target, or says so."""


def generate(rng: random.Random, *, level: int = 3, upto: int = 0, style: str = "short") -> Task:
    """Draw a question such as `Make 9 from 7 3 5 2`, answered by `7-3+5` and so on.

    With `upto`, any level from the one to the other. BadInput for a level or style that there is not.
    """
    check_range("level", level, LEVELS)
    check_range("upto", upto or level, LEVELS)
    if style not in list(Style):
        raise BadInput("style", style, "is none", remedy=f"one of: {', '.join(Style)}")
    numbers = rng.sample(range(1, LARGEST + 1), COUNTS[rng.randint(level, max(level, upto)) - 1])
    target = walked(numbers, wander(rng, numbers))
    write = straight if style == Style.SHORT else search
    solution = "".join(part.text for part in write(rng, numbers, target))
    question = f"Make {target} from {' '.join(map(str, numbers))}"
    return Task.ask(
        question,
        solution.rsplit("#### ", 1)[1],
        solution=solution,
        metadata={"numbers": list(numbers), "target": target},
    )


def wander(rng: random.Random, numbers: Sequence[int]) -> list[int]:
    """Random signs, +1 or -1, one for each number after the first."""
    total, signs = numbers[0], list[int]()
    for number in numbers[1:]:
        signs.append(rng.choice((1, -1)) if number <= total else 1)
        total += signs[-1] * number
    return signs


def walked(numbers: Sequence[int], signs: Sequence[int]) -> int:
    """The total after as many numbers as there are signs, and the first."""
    return numbers[0] + sum(sign * number for sign, number in zip(signs, numbers[1:], strict=False))


def reachable(numbers: Sequence[int], signs: Sequence[int], target: int) -> bool:
    """Whether these signs can be completed so that the target comes out and no total is negative."""
    totals = {walked(numbers, signs)}
    for number in numbers[len(signs) + 1 :]:
        totals = {total + change for total in totals for change in (number, -number) if total + change >= 0}
    return target in totals


def written(numbers: Sequence[int], signs: Sequence[int]) -> str:
    """The expression."""
    signed = (f"{'+' if s > 0 else '-'}{n}" for s, n in zip(signs, numbers[1:], strict=True))
    return "".join((str(numbers[0]), *signed))


def step(numbers: Sequence[int], signs: Sequence[int]) -> str:
    """The line of the last sign, such as `10-5=5`."""
    before, number = walked(numbers, signs[:-1]), numbers[len(signs)]
    return f"{before}{'+' if signs[-1] > 0 else '-'}{number}={walked(numbers, signs)}"


def next_sign(
    rng: random.Random, numbers: Sequence[int], signs: Sequence[int], target: int, foresight: float
) -> int:
    """A sign that keeps totals above zero; with the probability `foresight` one that leads to the target."""
    possible = (1, -1) if numbers[len(signs) + 1] <= walked(numbers, signs) else (1,)
    leading = [sign for sign in possible if reachable(numbers, [*signs, sign], target)]
    return rng.choice(leading if leading and rng.random() < foresight else possible)


def straight(rng: random.Random, numbers: Sequence[int], target: int) -> Iterator[Part]:
    """Steps to the target without a wrong turn."""
    signs: list[int] = []
    while len(signs) < len(numbers) - 1:
        signs.append(next_sign(rng, numbers, signs, target, 1.0))
        yield Part(f"{step(numbers, signs)}\n")
    yield Part(f"#### {written(numbers, signs)}")


def search(rng: random.Random, numbers: Sequence[int], target: int) -> Iterator[Part]:
    """Steps with wrong turns; after a failed check it goes back to the step that was wrong."""
    signs: list[int] = []
    while True:
        if len(signs) < len(numbers) - 1:
            before = reachable(numbers, signs, target)
            signs.append(next_sign(rng, numbers, signs, target, FORESIGHT))
            yield Part(f"{step(numbers, signs)}\n", sound=not before or reachable(numbers, signs, target))
            if len(signs) < len(numbers) - 1 and rng.random() > CHECKS:
                continue
        fine = reachable(numbers, signs, target)
        yield Part(f"{CHECK}{verdict(numbers, signs, target)}\n")
        if fine and len(signs) == len(numbers) - 1:
            yield Part(f"#### {written(numbers, signs)}")
            return
        if not fine:
            turned(numbers, signs, target)
            yield Part(f"{step(numbers, signs)}\n")


def verdict(numbers: Sequence[int], signs: Sequence[int], target: int) -> str:
    """What a check says: where one is, where one wants to be, and whether that can be."""
    fine = reachable(numbers, signs, target)
    return f" {walked(numbers, signs)} {target}{GOOD if fine else BAD}"


def turned(numbers: Sequence[int], signs: list[int], target: int) -> None:
    """Go back to the step from which on the target was out of reach, and take its other sign."""
    while not reachable(numbers, signs[:-1], target):
        signs.pop()
    signs[-1] = -signs[-1]
