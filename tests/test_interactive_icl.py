"""Dialogues with a teacher as tasks to learn from: when success counts, and what hints are about."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.verdict import Error, Scored
from sharpen.environments.hinted import Lesson
from sharpen.recipes.interactive_icl import Config, Hints, Learn, credited, numbers, taught
from sharpen.tasks.hinted import generate

TASKS = [generate(random.Random(n)) for n in range(3)]
COUNTS = st.lists(st.integers(1, 5), min_size=2, max_size=8)


def dialogue(guesses: int) -> Attempt:
    spoken = [
        Turn(author=Author.POLICY if n % 2 else Author.ENVIRONMENT, text="3") for n in range(2 * guesses)
    ]
    return Attempt(task="t", index=0, policy="p", turns=tuple(spoken))


@given(COUNTS)
def test_the_sooner_a_guess_leads_to_success_the_more_it_weighs(counts: list[int]) -> None:
    dialogues = [dialogue(count) for count in counts]
    batch = credited(dialogues, [Scored(value=1.0)] * len(counts), Config())
    places = [(count, number) for count in counts for number in range(count)]
    assert len(batch) == len(places)
    weights = [item.weight for item in batch.items]
    for (left, turn), more in zip(places, weights, strict=True):
        for (right, same), less in zip(places, weights, strict=True):
            assert turn != same or left > right or more >= less


@given(COUNTS)
def test_unknown_verdicts_teach_nothing(counts: list[int]) -> None:
    dialogues = [dialogue(count) for count in counts]
    failed = credited(dialogues, [Error(kind="broken")] * len(counts), Config())
    assert all(item.weight == 0 for item in failed.items)
    assert not len(credited(dialogues, [Scored(value=0.0)] * len(counts), Config(learn=Learn.SFT)))


def test_facts_that_do_not_apply_are_left_out() -> None:
    one = dialogue(1).model_copy(update={"outcome": {"value": 1.0, "by_turn_1": 1}})
    other = dialogue(2).model_copy(update={"outcome": {"value": 0.0, "by_turn_1": 0, "heeded": 1.0}})
    assert numbers([one, other], "!") == {"value!": 0.5, "by_turn_1!": 0.5, "heeded!": 1.0}


def test_hints_are_about_this_answer_another_or_none() -> None:
    assert taught(TASKS, Hints.TRUE) == tuple(TASKS)
    told = [Lesson.model_validate(task.world).told for task in taught(TASKS, Hints.OTHER)]
    assert told == [int(TASKS[n - 1].answer) for n in range(3)]
    (again, *_) = taught(TASKS, Hints.AGAIN, turns=1)
    lesson = Lesson.model_validate(again.world)
    assert lesson.told is None and lesson.turns == 1 and again.answer == TASKS[0].answer
