"""What is learnt of dialogues with a teacher: whose turns carry loss, and when success counts."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from helpers_models import make_model
from sharpen.actors.base import Cast, Stage
from sharpen.core.artifact import ArtifactStore
from sharpen.core.attempt import Attempt, Author
from sharpen.core.policy import Decoding, Job, Policy
from sharpen.core.task import Task
from sharpen.core.updater import Stopwatch
from sharpen.core.verdict import Scored
from sharpen.environments.hinted import Lesson
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
