"""Searches with wrong turns, and which of what was explored is trained on."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.core.attempt import Attempt, Author, Stop, Turn
from sharpen.core.errors import BadInput
from sharpen.core.verdict import value_of
from sharpen.curation.select import clean
from sharpen.tasks import countdown
from sharpen.tasks.arithmetic import evaluate
from sharpen.verifiers.countdown import verify


@given(
    seed=st.integers(0, 2**40),
    level=st.sampled_from(countdown.LEVELS),
    style=st.sampled_from(countdown.Style),
)
def test_worked_solutions_are_right_step_by_step(seed: int, level: int, style: str) -> None:
    task = countdown.generate(Random(seed), level=level, style=style)
    assert task == countdown.generate(Random(seed), level=level, style=style)
    assert task.solution is not None and value_of(verify(task.solution, task)) == 1.0
    for line in task.solution.splitlines():
        if "=" in line:
            left, right = line.split("=")
            found = evaluate(left)
            assert found is not None and found.value == int(right) >= 0
    assert (countdown.CHECK in task.solution) == (style == countdown.Style.LONG)


@given(seed=st.integers(0, 2**40))
def test_reachable_is_what_trying_all_signs_says(seed: int) -> None:
    rng = Random(seed)
    numbers = rng.sample(range(1, 10), 5)
    signs = countdown.wander(rng, numbers)
    target = rng.randrange(0, 30)
    kept = rng.randrange(0, 4)

    def tried(path: list[int]) -> bool:
        if countdown.walked(numbers, path) < 0:
            return False
        if len(path) == len(numbers) - 1:
            return countdown.walked(numbers, path) == target
        return any(tried([*path, sign]) for sign in (1, -1))

    assert countdown.reachable(numbers, signs[:kept], target) == tried(signs[:kept])


def test_dials_are_checked() -> None:
    for dials in ({"level": 0}, {"upto": 9}, {"style": "odd"}):
        with pytest.raises(BadInput):
            countdown.generate(Random(0), **dials)
    sizes = {len(countdown.generate(Random(n), level=2, upto=4).question.split()) for n in range(60)}
    assert len(sizes) == 3


def attempt(task: str, text: str, sure: float, stop: Stop = Stop.END) -> Attempt:
    turn = Turn(author=Author.POLICY, text=text, token_ids=(1,), logprobs=(sure,))
    return Attempt(task=task, index=0, policy="p", turns=(turn,), stop=stop)


def test_what_repeats_itself_is_not_clean() -> None:
    assert clean(attempt("a", "x\ny\nx", 0.0))
    assert not clean(attempt("a", "x\nx\nx", 0.0))
    assert not clean(attempt("a", "x", 0.0, Stop.LENGTH))
