"""Several small domains in one set, each with a strict answer form of its own; `metadata.domain` names them.

Sums, counts and remainders of this package, and rules over tables. Where the form is missed every answer is
wrong. Two in five of the problems that have a procedure are so short that a cruder one gets them right.
Suite 2 holds domains that suite 1 does not have; suite 3 is wider than suite 1.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from sharpen.core.task import Task
from sharpen.tasks import chain, conversion, counting, product, remainder, tables
from sharpen.tasks.base import Problem, check_range

VERIFIER = "strict"
ACTOR = "program"
LEVELS = range(1, 6)
EASY = 0.4


def _short_sum(rng: random.Random) -> Problem:
    number = rng.randint(1, 999)
    return Problem(f"{number}=?", (), str(number))


def _short_count(rng: random.Random) -> Problem:
    row = rng.choices(counting.VOWELS, k=rng.randint(1, 9))
    return Problem(f"Count vowels in {' '.join(row)}", (), str(len(row)))


def _short_remainder(rng: random.Random) -> Problem:
    divisor = rng.randint(2, 99)
    number = rng.randrange(divisor)
    return Problem(f"{number} mod {divisor}=?", (), str(number))


def _short_product(rng: random.Random) -> Problem:
    number = rng.randint(1, 999)
    return Problem(f"{number}*1=?", (), str(number))


def _short_conversion(rng: random.Random) -> Problem:
    base = rng.randint(3, 9)
    number = rng.randrange(base)
    return Problem(f"{number} in base {base}=?", (), str(number))


class Domain(NamedTuple):
    """A generator of problems by level, one of short problems, and the form of the answer."""

    draw: Callable[..., Problem]
    short: Callable[[random.Random], Problem]
    form: str


SUITES: tuple[dict[str, Domain | int], ...] = (
    {
        "sum": Domain(chain.generate, _short_sum, "#### {}"),
        "remainder": Domain(remainder.generate, _short_remainder, "= {}"),
        "loans": 1,
    },
    {
        "product": Domain(product.generate, _short_product, "<{}>"),
        "conversion": Domain(conversion.generate, _short_conversion, "#### {}"),
        "birds": 3,
    },
    {
        "sum": Domain(chain.generate, _short_sum, "#### {}"),
        "remainder": Domain(remainder.generate, _short_remainder, "= {}"),
        "count": Domain(counting.generate, _short_count, "[{}]"),
        "loans": 1,
        "soils": 2,
    },
)
"""Domains by name; a number stands for the table with that rule."""


def generate(rng: random.Random, *, level: int = 2, suite: int = 1) -> Task:
    """Draw a task of one of the suite's domains, such as `sum: 17+25=? Answer: #### .`."""
    check_range("level", level, LEVELS)
    check_range("suite", suite, range(1, len(SUITES) + 1))
    domains = SUITES[suite - 1]
    name = rng.choice(sorted(domains))
    domain, metadata = domains[name], {"domain": name}
    if isinstance(domain, int):
        row = tables.generate(rng, level=level + 1, rule=domain)
        return Task.ask(row.question, row.answer, metadata=metadata)
    problem = domain.short(rng) if rng.random() < EASY else domain.draw(rng, level=level)
    question = f"{name}: {problem.question} Answer: {domain.form.format('.')}"
    return Task.ask(question, domain.form.format(problem.answer), metadata=metadata)
