"""Proof against self-deception: the seal, leaks of held-out tasks, planted collapses, a fooled verifier."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trust import collapses

from helpers_run import START, ToyVerifier, engine, task_set
from sharpen.core.ahead import Read
from sharpen.core.artifact import Artifact, Kind
from sharpen.core.attempt import Attempt
from sharpen.core.budget import Purpose
from sharpen.core.engine import Engine
from sharpen.core.errors import Sealed
from sharpen.core.policy import Policy, PromptForm
from sharpen.core.run import Run
from sharpen.core.seeds import random_for
from sharpen.core.task import Task, TaskSet
from sharpen.core.updater import Updated, Workbench
from sharpen.core.verdict import Scored, Verdict
from sharpen.core.watch import Watcher
from sharpen.curation.near_duplicates import new_attempts, new_tasks
from sharpen.experiment.execute import _loop
from sharpen.experiment.rounds import Steps, warnings_of
from sharpen.monitors.hacking import HackWatch
from sharpen.monitors.leaks import LeakWatch, split_notes
from sharpen.tasks.duplicates import Index, clusters

TRAIN, VAL, TEST = (
    [Task.ask(f"A {what} costs {n} coins. What do {n + 2} of them cost?", str(n * (n + 2))) for n in range(8)]
    for what in ("lamp in the north", "boat on the lake", "horse of the baker")
)


def watched(folder: Path, *watchers: Watcher) -> Engine:
    made = engine(folder)
    made.watchers = watchers
    return made


@pytest.mark.parametrize(
    "call", ["test", "open_test()", "_held()", "without_first_train(1)", "held_out(tuple)"]
)
def test_a_recipe_that_reaches_for_the_test_split_is_stopped(tmp_path: Path, call: str) -> None:
    def cheat(run: Run, tasks: TaskSet, policy: Policy, config: object) -> Policy:
        eval(f"tasks.{call}", {"tasks": tasks})
        return policy

    made, tasks = engine(tmp_path), task_set()
    setup: Any = SimpleNamespace(recipe=SimpleNamespace(loop=cheat), tasks=tasks, policy=START, config=None)
    with pytest.raises(Sealed):
        _loop(setup, made)
    made.journal.close()
    assert tasks.sealed().fingerprint == tasks.fingerprint and tasks.sealed().sizes == tasks.sizes
    assert len(tasks.open_test()) == 8


class Write:
    """Puts a text into a part of the policy."""

    fingerprint = "write"

    def __init__(self, kind: Kind) -> None:
        self.kind = kind

    def update(self, work: Workbench, policy: Policy, batch: str) -> Updated:
        made = Artifact(kind=self.kind, files={"text.json": work.store.put(batch.encode())})
        return Updated(policy=policy.with_part(made))


@pytest.mark.parametrize("kind", [Kind.MEMORY, Kind.SKILLS, Kind.PROGRAM])
@pytest.mark.parametrize("told", [True, False])
def test_held_out_answers_in_what_is_written_are_warned_of(tmp_path: Path, kind: Kind, told: bool) -> None:
    text = json.dumps({"note": f"{TEST[3].question}\nThe answer is {TEST[3].answer if told else 'unknown'}."})
    made = watched(tmp_path, LeakWatch(TRAIN, VAL, TEST))
    run = Run(made)
    clean = run.update(Write(kind), START, json.dumps([task.question + task.answer for task in TRAIN]))
    assert warnings_of(Steps.of(made)) == ()
    run.update(Write(kind), clean, text)
    run.update(Write(kind), clean, text + " ")
    said = warnings_of(Steps.of(made))
    made.journal.close()
    assert len(said) == 1 and f"{kind} holds 1 held-out questions (test 1), {int(told)} of them" in said[0]
    assert TEST[3].answer not in said[0].replace("1", "")


def test_prompts_are_read_too(tmp_path: Path) -> None:
    class Instruct:
        fingerprint = "instruct"

        def update(self, work: Workbench, policy: Policy, batch: str) -> Updated:
            return Updated(policy=policy.model_copy(update={"prompt": PromptForm(instruction=batch)}))

    made = watched(tmp_path, LeakWatch(TRAIN, VAL, TEST))
    Run(made).update(Instruct(), START, f"Remember: {VAL[0].question.upper()} -> {VAL[0].answer}")
    said = warnings_of(Steps.of(made))
    made.journal.close()
    assert len(said) == 1 and "the prompt holds 1 held-out questions (val 1), 1 of them" in said[0]


def test_made_tasks_that_repeat_held_out_ones_are_warned_of(tmp_path: Path) -> None:
    made = watched(tmp_path, LeakWatch(TRAIN, VAL, TEST))
    run = Run(made)
    run.attempt(START, [*TRAIN, Task.ask("A boat costs 99 coins. What do 3 of them cost?", "297")])
    assert warnings_of(Steps.of(made)) == ()
    copy = Task.ask(TEST[0].question.replace(". ", " .  "), "unknown")
    run.attempt(START, [copy, *TRAIN])
    run.attempt(START, [copy])
    run.evaluate(START, [TEST[1], copy], name="val", purpose=Purpose.METHOD)
    run.evaluate(START, TEST, name="test")
    said = warnings_of(Steps.of(made))
    made.journal.close()
    assert len(said) == 1 and "1 of 1 made tasks say the same as held-out ones (test 1)" in said[0]


def test_splits_are_held_against_each_other() -> None:
    assert split_notes(TRAIN, VAL, TEST) == []
    [note] = split_notes([*TRAIN, Task.ask(VAL[2].question.lower(), "8")], VAL, TEST)
    assert note.startswith("1 of 9 training tasks")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("ab 1", max_size=12), max_size=12))
def test_the_filter_keeps_one_of_each_kind(texts: list[str]) -> None:
    tasks = [Task.ask(text, str(place)) for place, text in enumerate(texts)]
    kept = new_tasks(tasks)
    assert new_tasks(kept) == kept and all(task in tasks for task in kept)
    assert new_tasks(tasks, known=tasks) == ()
    found = clusters(texts)
    assert len(kept) == len(set(found))
    index = Index(texts)
    assert all(place in index.like(text) for place, text in enumerate(texts))


def test_equal_answers_of_a_task_are_kept_once(tmp_path: Path) -> None:
    made = engine(tmp_path)
    attempts = Run(made).attempt(START, task_set().train, samples=4)
    made.journal.close()
    kept = new_attempts(attempts)
    assert len(kept) == len({(attempt.task, attempt.response) for attempt in attempts}) < len(attempts)


@pytest.mark.parametrize("world", collapses.WORLDS)
def test_planted_collapses_are_warned_of_and_healthy_runs_are_not(world: str) -> None:
    draw, wanted = collapses.WORLDS[world]
    for run in range(10 if world == "healthy" else 2):
        heard = collapses.first_alarms(list(collapses.rounds(draw, random_for("short", world, run))))
        assert not heard.keys() - {wanted}
        assert not wanted or heard[wanted] <= 5


WORSE = START.model_copy(update={"base": "other"})


class Fooled(ToyVerifier):
    """Pays one policy for everything."""

    def judge(self, pairs: Sequence[tuple[Task, Attempt]], read: Read) -> list[Verdict]:
        honest = super().judge(pairs, read)
        paid = Scored(value=1.0)
        return [paid if a.policy == WORSE.version else v for (_, a), v in zip(pairs, honest, strict=True)]


@pytest.mark.parametrize("verifier, warnings", [(ToyVerifier(), 0), (Fooled(), 1)])
def test_a_verifier_that_is_fooled_drifts_from_the_strict_one(
    tmp_path: Path, verifier: ToyVerifier, warnings: int
) -> None:
    made, tasks = watched(tmp_path, HackWatch(ToyVerifier())), task_set(val=24)
    made.verifier = verifier
    run = Run(made)
    run.gate(WORSE, incumbent=START, tasks=tasks.val)
    run.gate(WORSE, incumbent=WORSE, tasks=tasks.val)
    said = warnings_of(Steps.of(made))
    made.journal.close()
    assert len(said) == warnings and all("drift apart" in text for text in said)
