"""Answers of one turn, and going on with them: exact tokens, masks and metering."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from helpers_run import engine
from sharpen.actors.base import Cast, Stage
from sharpen.core.artifact import ArtifactStore
from sharpen.core.attempt import Attempt, Author, Stop
from sharpen.core.budget import Purpose
from sharpen.core.errors import BadInput
from sharpen.core.policy import Decoding, Job, Policy
from sharpen.core.run import Run
from sharpen.core.task import Task
from sharpen.core.updater import Stopwatch
from sharpen.learners.batch import example_from
from sharpen.learners.on_policy import old_logprobs
from sharpen.models.hf import HFModel
from sharpen.models.scripted import ScriptedModel
from sharpen.models.source import open_model

TASKS = [Task.ask(f"{n} + {n + 4} = ?", str(2 * n + 4)) for n in range(3, 6)]
DOUBT = " check:"


@pytest.fixture(scope="module")
def tiny() -> HFModel:
    model = open_model("tiny", threads=1)
    assert isinstance(model, HFModel)
    return model


def run(folder: Path, model: HFModel) -> Run:
    made = engine(folder)
    stage = Stage({"tiny": model}, made.store, Stopwatch())
    return Run(replace(made, actor=Cast(stage), models={"tiny": model}))


def policy(model: HFModel) -> Policy:
    return Policy(model="tiny", base=model.fingerprint)


def short(tokens: int) -> Decoding:
    return Decoding(temperature=1.0, max_tokens=tokens)


def test_going_on_without_a_word_continues_the_exact_tokens(tiny: HFModel, tmp_path: Path) -> None:
    loop = run(tmp_path, tiny)
    first = loop.attempt(policy(tiny), TASKS, samples=2, decoding=short(5))
    longer = loop.go_on(policy(tiny), first, TASKS, decoding=short(7))
    for before, after in zip(first, longer, strict=True):
        assert (after.task, after.index) == (before.task, before.index)
        assert after.turns[: len(before.turns)] == before.turns
        assert after.token_count <= before.token_count + 7
        assert len(old_logprobs(after)) == after.token_count
    assert loop.used(Purpose.METHOD).sampled_tokens == sum(a.token_count for a in longer)
    assert loop.used(Purpose.METHOD).model_calls == len(first) + len(longer)


def test_injected_words_carry_no_loss_and_are_nobodys_tokens(tiny: HFModel, tmp_path: Path) -> None:
    loop = run(tmp_path, tiny)
    first = loop.attempt(policy(tiny), TASKS, decoding=short(5))
    longer = loop.go_on(policy(tiny), first, TASKS, inject=DOUBT, decoding=short(5))
    for attempt in longer:
        template = attempt.turns[2]
        assert (template.author, template.text) == (Author.TEMPLATE, DOUBT)
        example = example_from(attempt, tiny)
        place = len(attempt.turns[1].token_ids)
        size = len(template.token_ids)
        assert size == len(tiny.encode_response(DOUBT))
        assert example.mask[place : place + size] == (0.0,) * size
        assert sum(example.mask) == attempt.token_count
        assert DOUBT.strip() not in attempt.response


def test_two_halves_have_the_log_probabilities_of_the_whole(tiny: HFModel, tmp_path: Path) -> None:
    loop = run(tmp_path, tiny)
    first = loop.attempt(policy(tiny), TASKS, decoding=short(4))
    for attempt in loop.go_on(policy(tiny), first, TASKS, decoding=short(4)):
        example = example_from(attempt, tiny)
        (own,) = tiny.logprobs([(example.prompt_ids, example.response_ids)])
        assert old_logprobs(attempt) == pytest.approx(own, abs=1e-4)


def test_a_model_without_tokens_cannot_go_on(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    model = ScriptedModel({"": "a"})
    acting = Cast(Stage({"s": model}, store, Stopwatch()))
    bare = Policy(model="s", base="s")
    job = Job(task=TASKS[0], index=0, seed=1)
    (first,) = acting.act(bare, [job], short(4))
    assert isinstance(first, Attempt) and first.stop is Stop.END
    with pytest.raises(BadInput, match="cannot go on"):
        acting.act(bare, [replace(job, trace=first.turns)], short(4))
