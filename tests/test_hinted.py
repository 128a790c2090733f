"""Dialogues with a teacher: hints, leaks, the careless and the heedful script, masks, what is learnt."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers_models import make_model
from sharpen.actors.base import Cast, Stage
from sharpen.core.artifact import ArtifactStore
from sharpen.core.attempt import Attempt, Author
from sharpen.core.errors import BadInput
from sharpen.core.policy import Decoding, Job, Policy
from sharpen.core.task import Task
from sharpen.core.updater import Stopwatch
from sharpen.core.verdict import Scored
from sharpen.environments.base import start
from sharpen.environments.hinted import HIGH, LOW, REMINDER, START, WRONG, Dialogue, Lesson, leaks
from sharpen.learners.batch import example_from
from sharpen.recipes.interactive_icl import (
    Config,
    Hints,
    discounted,
    group_relative,
    numbers,
    taught,
    teachers_part,
)
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


def test_tasks_start_and_dials_are_checked() -> None:
    task = generate(random.Random(1))
    world = start(task, random.Random(0))
    world.move(task.answer)
    assert world.outcome().value == 1.0
    with pytest.raises(BadInput, match="divisor"):
        generate(random.Random(1), divisor=100)


@pytest.fixture(scope="module")
def episodes(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Task], list[Attempt]]:
    folder = tmp_path_factory.mktemp("models")
    model = make_model(folder)
    tasks = [generate(random.Random(n)) for n in range(4)]
    cast = Cast(Stage({"m": model}, ArtifactStore(folder / "store"), Stopwatch()))
    policy = Policy(model="m", base="b", actor="episodes")
    jobs = [Job(task=task, index=0, seed=n) for n, task in enumerate(tasks)]
    return tasks, cast.act(policy, jobs, Decoding(max_tokens=3))


def test_loss_is_on_the_student_or_on_the_teacher(
    episodes: tuple[list[Task], list[Attempt]], tmp_path: Path
) -> None:
    model = make_model(tmp_path)
    _, attempts = episodes
    for attempt, moved in zip(attempts, teachers_part(attempts).items, strict=True):
        own, theirs = example_from(attempt, model), example_from(moved.attempt, model)
        ids = [i for turn in attempt.turns if turn.author is Author.POLICY for i in turn.token_ids]
        hints = [i for turn in attempt.turns if turn.author is Author.ENVIRONMENT for i in turn.token_ids]
        assert [i for i, m in zip(own.response_ids, own.mask, strict=True) if m] == ids
        assert [i for i, m in zip(theirs.response_ids, theirs.mask, strict=True) if m] == hints
        assert own.prompt_ids + own.response_ids == theirs.prompt_ids + theirs.response_ids


def test_later_success_is_worth_less(episodes: tuple[list[Task], list[Attempt]]) -> None:
    _, attempts = episodes
    one = attempts[0]
    assert discounted(one, Scored(value=1.0), 0.7) == pytest.approx(0.7 ** (one.policy_turns - 1))
    assert discounted(one, Scored(value=0.0), 0.7) == 0.0
    group = [one.model_copy(update={"index": n}) for n in range(2)]
    batch = group_relative(group, (Scored(value=1.0), Scored(value=0.0)), Config())
    assert batch.items[0].weight > 0 > batch.items[1].weight
    assert numbers(attempts, "")["leaked"] == 0.0


def test_hints_of_another_dialogue() -> None:
    tasks = [generate(random.Random(n)) for n in range(3)]
    told = [Lesson.model_validate(task.world).told for task in taught(tasks, Hints.OTHER)]
    assert told == [int(tasks[n - 1].answer) for n in range(3)]
    assert taught(tasks, Hints.TRUE) == tuple(tasks)
    (again, *_) = taught(tasks, Hints.AGAIN, turns=1)
    lesson = Lesson.model_validate(again.world)
    assert lesson.told is None and lesson.turns == 1 and again.answer == tasks[0].answer
