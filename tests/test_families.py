"""Every family the shipped model was taught, at every level: reproducible, right, readable, large enough."""

from __future__ import annotations

import importlib
import json
import operator
import random
import re
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sharpen
from sharpen.core.errors import BadInput
from sharpen.tasks.base import Problem

TINY = Path(sharpen.__file__).parent / "models" / "tiny"
LEVELS = json.loads((TINY / "levels.json").read_text(encoding="utf-8"))
FAMILIES = {family: importlib.import_module(f"sharpen.tasks.{family}") for family in sorted(LEVELS)}
CELLS = [(family, level) for family, module in FAMILIES.items() for level in module.LEVELS]
SEEDS = st.integers(0, 2**63)
OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": Fraction}

every_cell = pytest.mark.parametrize(("family", "level"), CELLS)
every_family = pytest.mark.parametrize("module", FAMILIES.values(), ids=FAMILIES)


def evaluate(text: str) -> Fraction:
    """Value of an expression of numbers, + - * / and parentheses, by recursive descent."""
    tokens = re.findall(r"\d+|[-+*/()]", text)
    assert "".join(tokens) == text

    def total() -> Fraction:
        value = term()
        while tokens and tokens[0] in "+-":
            value = OPERATORS[tokens.pop(0)](value, term())
        return value

    def term() -> Fraction:
        value = atom()
        while tokens and tokens[0] in "*/":
            value = OPERATORS[tokens.pop(0)](value, atom())
        return value

    def atom() -> Fraction:
        token = tokens.pop(0)
        if token != "(":
            return Fraction(int(token))
        value = total()
        assert tokens.pop(0) == ")"
        return value

    value = total()
    assert not tokens
    return value


def recomputed(question: str) -> int:
    """Answer to a question, worked out from its text alone by another way than the family's."""
    if match := re.fullmatch(r"(\d+) mod (\d)=\?", question):
        return int(match[1]) % int(match[2])
    if match := re.fullmatch(r"(\d+) in base (\d)=\?", question):
        return int(match[1], int(match[2]))
    if question.startswith("Count vowels in "):
        return sum(question.removeprefix("Count vowels in ").count(vowel) for vowel in "aei")
    if match := re.fullmatch(r"([\d,]+),\?", question):
        return next_term([int(term) for term in match[1].split(",")])
    if match := re.fullmatch(r"(.*x.*)=(.*),x=\?", question):
        return root(match[1], match[2])
    value = evaluate(question.removesuffix("=?"))
    assert value.denominator == 1
    return int(value)


def next_term(terms: list[int]) -> int:
    """Value after the last of the polynomial through all terms (Lagrange, at the next point)."""
    n = len(terms)
    value = Fraction(0)
    for i, term in enumerate(terms):
        weight = Fraction(1)
        for j in range(n):
            weight *= Fraction(n - j, i - j) if j != i else 1
        value += weight * term
    assert value.denominator == 1
    return int(value)


def root(left: str, right: str) -> int:
    """Root of left - right, which is linear in x, from its values at 0 and 1."""

    def difference(x: int) -> Fraction:
        sides = [re.sub(r"(\d*)x", lambda m: f"{m[1] or 1}*{x}", side) for side in (left, right)]
        return evaluate(sides[0]) - evaluate(sides[1])

    at_zero, slope = difference(0), difference(1) - difference(0)
    value = -at_zero / slope
    assert value.denominator == 1
    return int(value)


def draw(family: str, level: int, seed: int) -> Problem:
    problem: Problem = FAMILIES[family].generate(random.Random(seed), level=level)
    return problem


def test_there_are_enough_families() -> None:
    assert len(FAMILIES) >= 7


@every_cell
@given(seed=SEEDS)
@settings(max_examples=30, deadline=None)
def test_answer_is_right_and_repeats(family: str, level: int, seed: int) -> None:
    problem = draw(family, level, seed)
    assert problem == draw(family, level, seed)
    assert problem.answer == str(recomputed(problem.question))


@every_cell
@given(seed=SEEDS)
@settings(max_examples=30, deadline=None)
def test_every_step_is_true_and_short(family: str, level: int, seed: int) -> None:
    problem = draw(family, level, seed)
    assert problem.solution.endswith(f"\n#### {problem.answer}")
    assert len(problem.solution) <= (60 if level <= 2 else 140)
    assert len(problem.question) + len(problem.solution) < 250
    for step in problem.steps:
        if family == "counting":
            check_tally(problem.question, step)
        else:
            left, right = step.split("=")
            assert evaluate(left) == evaluate(right), step


def check_tally(question: str, step: str) -> None:
    text = question.removeprefix("Count vowels in ").replace(" ", "")
    pairs = re.findall(r"([a-z])(\d+)", step)
    assert "".join(letter for letter, _ in pairs) == text
    assert all(int(count) == len(re.findall("[aei]", text[: i + 1])) for i, (_, count) in enumerate(pairs))


@every_cell
def test_a_level_holds_many_problems(family: str, level: int) -> None:
    draws = 2_000
    seen = len({draw(family, level, seed).question for seed in range(draws)})
    # n equally likely problems give n(1 - exp(-draws / n)) different ones; uneven odds give fewer.
    assert seen >= (295 if level == 1 else 1_400)


@every_family
def test_a_level_outside_is_refused(module: ModuleType) -> None:
    for level in (module.LEVELS.start - 1, module.LEVELS.stop, -3):
        with pytest.raises(BadInput, match="level"):
            module.generate(random.Random(0), level=level)


def test_other_dials_are_checked() -> None:
    conversion = FAMILIES["conversion"]
    with pytest.raises(BadInput, match="base"):
        conversion.generate(random.Random(0), base=10)
    assert " in base 2=" in conversion.generate(random.Random(0), base=2).question


@pytest.fixture(scope="module")
def tokenizer() -> object:
    from transformers import PreTrainedTokenizerFast

    folder = Path(sharpen.__file__).parent / "models" / "tiny"
    return PreTrainedTokenizerFast.from_pretrained(folder)


@every_cell
def test_tokenizer_gives_back_every_text(family: str, level: int, tokenizer: object) -> None:
    for seed in range(20):
        problem = draw(family, level, seed)
        text = f"Q: {problem.question}\nA: {problem.solution}"
        ids = tokenizer(text)["input_ids"]  # type: ignore[operator]
        assert len(ids) == len(text) + 1
        assert tokenizer.unk_token_id not in ids  # type: ignore[attr-defined]
        assert tokenizer.decode(ids, skip_special_tokens=True) == text  # type: ignore[attr-defined]


def test_measured_levels_cover_every_cell() -> None:
    assert {(family, int(level)) for family, levels in LEVELS.items() for level in levels} == set(CELLS)
