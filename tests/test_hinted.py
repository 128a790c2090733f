"""Dialogues with a teacher: hints, leaks, the careless and the heedful script."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.core.errors import BadInput
from sharpen.environments.base import start
from sharpen.environments.hinted import HIGH, LOW, REMINDER, START, WRONG, Dialogue, Lesson, leaks
from sharpen.tasks.hinted import generate

LESSON = Lesson(answer=6, told=6, top=16, turns=5)


def dialogue(**changes: object) -> Dialogue:
    return Dialogue(LESSON.model_copy(update=changes), "", random.Random(0))


def play(world: Dialogue, *moves: str) -> list[str | None]:
    seen = []
    for move in moves:
        view = world.view()
        seen.append(view.text if view else None)
        world.move(move)
    return seen


def test_hints_lead_to_the_answer() -> None:
    world = dialogue()
    assert play(world, "3", "9", "", "6") == [START, LOW, HIGH, REMINDER]
    assert world.view() is None
    outcome = world.outcome()
    assert outcome.value == 1.0
    assert [outcome.facts[f"by_turn_{turn}"] for turn in range(1, 6)] == [0, 0, 0, 1, 1]
    assert (outcome.facts["slope"], outcome.facts["malformed"], outcome.facts["leaked"]) == (1, 1, 0)


def test_plasticity_is_the_share_of_changed_answers() -> None:
    world = dialogue(told=None)
    assert play(world, "3", "3", "4", "4", "4")[1:] == [WRONG] * 4
    assert world.view() is None
    assert world.outcome().facts["plasticity"] == 0.25
    once = dialogue()
    play(once, "6")
    assert "plasticity" not in once.outcome().facts


def test_a_leak_fails_the_attempt() -> None:
    world = dialogue(slips=1.0)
    play(world, "3")
    assert world.view() is None
    assert world.outcome().value == 0.0 and world.outcome().facts["leaked"] == 1


def test_a_guess_heeds_what_all_hints_leave_open() -> None:
    world = dialogue()
    play(world, "3", "9", "2", "", "10")
    assert world.outcome().facts["heeded"] == pytest.approx(1 / 3)
    bare = dialogue(told=None)
    play(bare, "3", "4", "3")
    assert bare.outcome().facts["heeded"] == 0.5
    assert "heeded" not in dialogue().outcome().facts


@given(st.integers(0, 99), st.text(max_size=20))
def test_leaks_are_whole_numbers(answer: int, words: str) -> None:
    assert leaks(f"{words} {answer} is it", answer)
    assert not leaks(f"{answer}0", answer) or answer == 0
    assert not any(leaks(hint, answer) for hint in (LOW, HIGH, WRONG, REMINDER))


@given(st.text(max_size=50))
def test_any_move_is_taken(text: str) -> None:
    world = dialogue()
    world.move(text)
    world.move("1" * 5000)
    assert world.outcome().value in (0.0, 1.0)


@given(st.integers(0, 16), st.integers(0, 1000))
def test_the_heedful_script_never_contradicts_a_hint(answer: int, seed: int) -> None:
    lesson = LESSON.model_copy(update={"answer": answer, "told": answer, "heed": 1.0, "turns": 17})
    world = Dialogue(lesson, "", random.Random(seed))
    while world.view() is not None:
        world.move(world.scripted(""))
    assert world.outcome().value == 1.0
    assert len(set(world.guesses)) == len(world.guesses)
    assert world.outcome().facts.get("heeded", 1.0) == 1.0


def test_tasks_start_and_dials_are_checked() -> None:
    task = generate(random.Random(1))
    world = start(task, random.Random(0))
    world.move(task.answer)
    assert world.outcome().value == 1.0
    with pytest.raises(BadInput, match="divisor"):
        generate(random.Random(1), divisor=100)
