"""Rows of a table under a hidden rule: a weighted sum of the columns, compared with a threshold.

The rule is fixed by its number, so it can be learned from labelled rows; a level sets the number of columns.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from sharpen.core.seeds import random_for
from sharpen.tasks.base import Problem, check_range

COLUMNS = (2, 3, 4, 5, 6, 8)
LEVELS = range(1, len(COLUMNS) + 1)
TABLES = ("loans", "soils", "birds", "ships", "wines", "roads", "bonds", "stars")
RULES = range(1, len(TABLES) + 1)
LARGEST = 9
MOST = 3
"""Largest weight of a column."""
LABELS = (("yes", "no"), ("high", "low"))


class Rule(NamedTuple):
    """A row is of the first label if its weighted sum is above the threshold."""

    weights: tuple[int, ...]
    threshold: int
    labels: tuple[str, str]


def hidden_rule(number: int, level: int) -> Rule:
    """The rule of that number; about half of all rows have either label."""
    rng = random_for("table rule", number, level)
    weights = tuple(rng.choice([w for w in range(-MOST, MOST + 1) if w]) for _ in range(COLUMNS[level - 1]))
    return Rule(weights, round(sum(weights) * LARGEST / 2), LABELS[number % len(LABELS)])


def generate(rng: random.Random, *, level: int = 3, rule: int = 1) -> Problem:
    """Draw a row such as `loans 3 7 1 9, yes or no?`, labelled by the rule."""
    check_range("level", level, LEVELS)
    check_range("rule", rule, RULES)
    weights, threshold, (first, second) = hidden_rule(rule, level)
    row = [rng.randint(0, LARGEST) for _ in weights]
    total = sum(weight * value for weight, value in zip(weights, row, strict=True))
    question = f"{TABLES[rule - 1]} {' '.join(map(str, row))}, {first} or {second}?"
    return Problem(question, (f"{total} against {threshold}",), first if total > threshold else second)
