"""What is learnt of dialogues: single turns with what came of them, and the other side's words."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from helpers_models import make_model
from sharpen.actors.base import Cast, Stage
from sharpen.core.artifact import ArtifactStore
from sharpen.core.attempt import Attempt, Author
from sharpen.core.engine import Judging
from sharpen.core.policy import Decoding, Job, Policy
from sharpen.core.updater import Stopwatch
from sharpen.core.verdict import value_of
from sharpen.curation.dialogues import others_words, turn_by_turn
from sharpen.judges.likelihood import LikelihoodJudge
from sharpen.learners.batch import example_from
from sharpen.models.hf import HFModel
from sharpen.tasks.hinted import generate

TASKS = [generate(random.Random(n)) for n in range(4)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    return make_model(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def dialogues(model: HFModel, tmp_path_factory: pytest.TempPathFactory) -> list[Attempt]:
    store = ArtifactStore(tmp_path_factory.mktemp("store"))
    cast = Cast(Stage({"m": model}, store, Stopwatch()))
    jobs = [Job(task=task, index=0, seed=n) for n, task in enumerate(TASKS)]
    return cast.act(Policy(model="m", base="b", actor="episodes"), jobs, Decoding(max_tokens=3))


def ids(attempt: Attempt, author: Author) -> list[int]:
    return [i for turn in attempt.turns if turn.author is author for i in turn.token_ids]


def test_loss_is_on_the_student_or_on_the_teacher(dialogues: list[Attempt], model: HFModel) -> None:
    for attempt, moved in zip(dialogues, others_words(dialogues).items, strict=True):
        own, theirs = example_from(attempt, model), example_from(moved.attempt, model)
        for example, author in ((own, Author.POLICY), (theirs, Author.ENVIRONMENT)):
            learnt = [i for i, m in zip(example.response_ids, example.mask, strict=True) if m]
            assert learnt == ids(attempt, author)
        assert own.prompt_ids + own.response_ids == theirs.prompt_ids + theirs.response_ids


def test_every_guess_is_learnt_once(dialogues: list[Attempt], model: HFModel) -> None:
    rewards = [0.49 if n == 0 else 0.0 for n in range(len(dialogues))]
    batch = turn_by_turn(dialogues, rewards, gamma=0.7)
    for attempt in dialogues:
        items = [item.attempt for item in batch.items if item.attempt.task == attempt.task]
        examples = [example_from(item, model) for item in items]
        learnt = [i for e in examples for i, m in zip(e.response_ids, e.mask, strict=True) if m]
        assert learnt == ids(attempt, Author.POLICY)
    for number in range(1, dialogues[0].policy_turns + 1):
        weights = [item.weight for item in batch.items if item.attempt.policy_turns == number]
        assert sum(weights) == pytest.approx(0.0, abs=1e-9) and weights[0] == max(weights)


def test_only_what_carries_loss_is_likely_or_not(
    dialogues: list[Attempt], model: HFModel, tmp_path: Path
) -> None:
    judging = Judging({"m": model}, ArtifactStore(tmp_path), Stopwatch())
    judge = LikelihoodJudge(Policy(model="m", base="b"))
    own, theirs = (
        [value_of(v) or 0.0 for v in judge.judge_by(judging, list(zip(TASKS, some, strict=True)))]
        for some in (dialogues, [item.attempt for item in others_words(dialogues).items])
    )
    for attempt, mine, other in zip(dialogues, own, theirs, strict=True):
        whole = example_from(attempt, model)
        (row,) = model.logprobs([(whole.prompt_ids, whole.response_ids)])
        assert mine + other == pytest.approx(sum(row), rel=1e-4)
