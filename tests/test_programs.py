"""Programs as data: what they can do, what they cannot, and what their improver gets to see."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sharpen.actors.base import Cast, Stage
from sharpen.core.artifact import Artifact, ArtifactStore, Kind
from sharpen.core.attempt import Attempt
from sharpen.core.policy import GREEDY, Job, Policy
from sharpen.core.seeds import random_for
from sharpen.core.task import Split, Task
from sharpen.core.updater import Stopwatch
from sharpen.search.improver import KINDS, Aim, Brief, DomainReport, Example, Improver, improved, self_edited
from sharpen.search.staged import alpha, brief_of
from sharpen.stores.archive import Archive, Extent, Node, Score
from sharpen.stores.pipelines import (
    Fold,
    Keep,
    Pipeline,
    Read,
    Rule,
    Unusable,
    Write,
    answer,
    form_fixed,
    parse_pipeline,
)
from sharpen.tasks.source import load_tasks
from sharpen.tasks.tables import hidden_rule

RIGHT = Pipeline(
    rules=(
        Rule(word="sum", read=Read.SIGNED, fold=Fold.SUM, write=Write.HASHES),
        Rule(word="remainder", read=Read.NUMBERS, fold=Fold.REMAINDER, write=Write.EQUALS),
        Rule(word="count", read=Read.LETTERS, keep=Keep.VOWELS, fold=Fold.COUNT, write=Write.BRACKETS),
        Rule(word="product", read=Read.NUMBERS, fold=Fold.PRODUCT, write=Write.ANGLES),
        Rule(word="conversion", read=Read.NUMBERS, fold=Fold.BASE, write=Write.HASHES),
        *(
            Rule(
                word=word,
                read=Read.NUMBERS,
                fold=Fold.WEIGHED,
                write=write,
                weights=hidden_rule(number, 3).weights,
                threshold=hidden_rule(number, 3).threshold,
            )
            for number, word, write in (
                (1, "loans", Write.HIGH_LOW),
                (2, "soils", Write.YES_NO),
                (3, "birds", Write.HIGH_LOW),
            )
        ),
    )
)
REPORT = {
    "sum": DomainReport(0.0, (Example("sum: 1+2=? Answer: #### .", "#### 3"),)),
    "mod": DomainReport(1.0, (Example("mod 7 3", "= 1"),)),
}


def right(pipeline: Pipeline, tasks: tuple[Task, ...]) -> float:
    return sum(answer(pipeline, task.question).text == task.answer for task in tasks) / len(tasks)


@pytest.mark.parametrize("suite", [1, 2, 3])
def test_every_domain_can_be_solved_in_full(suite: int) -> None:
    tasks = load_tasks(f"suite?suite={suite}", train=60, val=10, test=10)
    assert right(RIGHT, tasks.train) == 1
    assert right(Pipeline(), tasks.train) == 0


def test_the_right_form_alone_is_worth_something_and_not_everything() -> None:
    tasks = load_tasks("suite", train=90, val=10, test=10).train
    groups: dict[str, list[tuple[str, str]]] = {}
    for task in tasks:
        groups.setdefault(str(task.metadata["domain"]), []).append((task.question, task.answer))
    assert 0.2 < right(form_fixed(groups), tasks) < 0.6


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b'{"rules": [{"read": "/etc/passwd"}]}',
        b'{"rules": [{"read": "numbers", "code": "import os"}]}',
        b'{"rules": [{"threshold": 1e9}]}',
        json.dumps({"rules": [{}] * 1000}).encode(),
        b'{"rules": [' + b" " * 70_000 + b"]}",
        b'{"rules": ' + b"[" * 20_000,
    ],
    ids=range(9),
)
def test_anything_else_than_a_small_pipeline_is_refused(data: bytes) -> None:
    with pytest.raises(Unusable):
        parse_pipeline(data)


@pytest.mark.parametrize(
    "question", ["", "x" * 10**6, "9" * 10**5, "product " + "999999999 " * 10**4, "\x00{0}%s"]
)
def test_any_question_is_answered_in_bounded_time_and_space(question: str) -> None:
    for pipeline in (RIGHT, Pipeline(), *(Pipeline(rules=(Rule(fold=fold),)) for fold in Fold)):
        assert len(answer(pipeline, question).text) <= 2_100


def acted(folder: Path, data: bytes, tasks: tuple[Task, ...]) -> list[Attempt]:
    store = ArtifactStore(folder)
    part = Artifact(kind=Kind.PROGRAM, files={"task.json": store.put(data)})
    policy = Policy(model="none", base="none", actor="program").with_part(part)
    return Cast(Stage({}, store, Stopwatch())).act(policy, [Job(t, 0, 0) for t in tasks], GREEDY)


def test_a_broken_program_answers_nothing_and_says_why(tmp_path: Path) -> None:
    tasks = load_tasks("suite", train=5, val=1, test=1).train
    for attempt in acted(tmp_path, b'{"rules": [{"write": "../../verifier.py"}]}', tasks):
        assert attempt.response == "" and "no pipeline" in str(attempt.outcome["failure"])


def test_a_program_acts_on_the_question_alone(tmp_path: Path) -> None:
    asked = Task.ask("sum: 1+2=?", "#### 3")
    data = RIGHT.model_dump_json().encode()
    other = asked.model_copy(update={"answer": "#### 4", "metadata": {"secret": 9}})
    assert [a.response for a in acted(tmp_path, data, (asked, other))] == ["#### 3", "#### 3"]


def test_edits_follow_their_seed_and_stay_within_the_vocabulary() -> None:
    for seed in range(60):
        pair = [improved(Improver(edits=8), RIGHT, Brief(report=REPORT), random_for(seed)) for _ in range(2)]
        assert pair[0] == pair[1] and set(pair[0].kinds) <= set(KINDS)
        assert parse_pipeline(pair[0].pipeline.model_dump_json().encode()) == pair[0].pipeline


def test_an_improver_that_looks_at_failures_finds_more_than_a_blind_one() -> None:
    start = Pipeline(rules=(Rule(word="sum", read=Read.SIGNED, fold=Fold.SUM), Rule()))

    def hits(improver: Improver) -> int:
        made = (improved(improver, start, Brief(report=REPORT), random_for(n)).pipeline for n in range(100))
        return sum(answer(p, "sum: 1+2=? Answer: #### .").text == "#### 3" for p in made)

    assert hits(Improver(edits=1, trials=12, aim=Aim.WORST)) > 3 * hits(Improver(edits=1))


def test_an_improver_edits_its_own_habits_within_bounds() -> None:
    habits = Improver()
    for seed in range(300):
        changed = self_edited(habits, random_for(seed))
        assert sum(getattr(changed, n) != getattr(habits, n) for n in Improver.model_fields) <= 1
        habits = changed
    assert habits != Improver()


def test_an_improver_is_told_of_training_alone() -> None:
    tasks = load_tasks("suite", train=60, val=30, test=1)
    sizes = {"loans": 20, "remainder": 20, "sum": 20}
    full = Score(split=Split.TRAIN, extent=Extent.FULL, domains=dict.fromkeys(sizes, 0.5), sizes=sizes)
    val = Score(split=Split.VAL, extent=Extent.FULL, domains=dict.fromkeys(sizes, 0.123), sizes=sizes)
    failed = tuple(task.key for task in (*tasks.train, *tasks.val))
    root = Node(number=0, policy=Policy(model="m", base="b"), parent=None, scores=(full, val), failed=failed)
    brief = brief_of(Archive(nodes=(root,)), root, tasks.train)
    shown = brief.model_dump_json()
    assert alpha(root, sizes) == 0.5 and "0.123" not in shown
    assert not any(json.dumps(task.question)[1:-1] in shown for task in tasks.val)
