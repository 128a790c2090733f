"""Which of what was explored is trained on, and which pairs are made of it."""

from __future__ import annotations

import pytest

from sharpen.core.attempt import Attempt, Author, Stop, Turn
from sharpen.core.verdict import Scored
from sharpen.recipes.still import Config, chosen, paired


def attempt(task: str, text: str, sure: float, stop: Stop = Stop.END) -> Attempt:
    turns = (
        Turn(author=Author.TEMPLATE, text=f"Q: {task}"),
        Turn(author=Author.POLICY, text=text, token_ids=(1,), logprobs=(sure,)),
    )
    return Attempt(task=task, index=0, policy="p", turns=turns, stop=stop)


ATTEMPTS = [
    attempt("a", "xx", -0.1),
    attempt("a", "xxxx", -3.0),
    attempt("a", "xxxxxxxx", -0.5),
    attempt("a", "wrong", -0.2),
    attempt("a", "wronger", -2.0),
    attempt("b", "cut", -0.1, Stop.LENGTH),
    attempt("c", "wrong", -0.1),
    attempt("d", "right", -0.1),
]
REWARDS = [1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0]
VERDICTS = [Scored(value=value) for value in REWARDS]


@pytest.mark.parametrize(("surprising", "text"), [(False, "xxxxxxxx"), (True, "xxxx")])
def test_one_whole_right_solution_a_problem(surprising: bool, text: str) -> None:
    batch = chosen(ATTEMPTS, VERDICTS, 7.0, Config(surprising=surprising))
    assert [item.attempt.response for item in batch.items] == [text, "right"]


def test_the_ablation_puts_solutions_under_other_problems() -> None:
    batch = chosen(ATTEMPTS, VERDICTS, 7.0, Config(exchanged=True))
    found = [(item.attempt.turns[0].text, item.attempt.response) for item in batch.items]
    assert found == [("Q: a", "right"), ("Q: d", "xxxxxxxx")]


def test_pairs_are_surprising_right_ones_and_likely_wrong_ones() -> None:
    (pair,) = paired(ATTEMPTS, REWARDS).items
    assert (pair.better.response, pair.worse.response) == ("xxxx", "wrong")
