"""Refining: critics, rules that end chains, quality by turn, equal attempts, the warning of a flat curve."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from helpers_run import START, KillAfter, Killed, engine, task
from sharpen.core.ahead import Read
from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.budget import Purpose
from sharpen.core.policy import Decoding, Job, Policy
from sharpen.core.run import Run, Scope
from sharpen.core.task import Role, Task
from sharpen.core.verdict import Error, Scored, Verdict
from sharpen.curation.asked_again import Shown
from sharpen.curation.gaps import gaps, improvements, single
from sharpen.curation.pairs import Pair, Pairs, flipped, misjudged
from sharpen.curation.refinements import Change
from sharpen.experiment.rounds import Steps, warnings_of
from sharpen.judges.critics import (
    Asking,
    Consulting,
    Critic,
    Criticism,
    Dealt,
    Doubting,
    Silent,
    Verifying,
)
from sharpen.monitors.refinement import curve_of, watch_refinement
from sharpen.report.live import Live
from sharpen.search.refinement import (
    Chain,
    Ended,
    History,
    Refining,
    answers_of,
    equal_attempts,
    qualities,
    refined,
    refinements,
    revised,
)

Reply = Callable[[Task, int], str]
TASKS = [task(number) for number in range(1, 5)]


@dataclass(frozen=True)
class Speaker:
    """Says what a function of dialogue and seed says."""

    reply: Reply

    def act(self, policy: Policy, jobs: Sequence[Job], decoding: Decoding) -> list[Attempt]:
        return [
            Attempt(
                task=job.task.key,
                index=job.index,
                policy=policy.version,
                turns=(Turn(author=Author.POLICY, text=self.reply(job.task, job.seed), token_ids=(1, 2)),),
            )
            for job in jobs
        ]


class Exact:
    """Right or wrong; knows nothing of answers that begin with `?`, and reads every answer as it is."""

    fingerprint = "exact"

    def judge(self, pairs: Sequence[tuple[Task, Attempt]], read: Read) -> list[Verdict]:
        return [
            Error(kind="unreadable")
            if attempt.response.startswith("?")
            else Scored(value=float(attempt.response == task.answer), critique="look again")
            for task, attempt in pairs
        ]

    def extract_many(self, responses: Sequence[str]) -> list[str | None]:
        return [response or None for response in responses]


def said_before(task: Task) -> list[str]:
    return [message.content for message in task.messages if message.role is Role.ASSISTANT]


def counts_up(task: Task, seed: int) -> str:
    """0, then always one more than before: right after as many revisions as the answer says."""
    before = said_before(task)
    return str(int(before[-1]) + 1) if before else "0"


def opened(folder: Path, reply: Reply, listener: KillAfter | None = None) -> Run:
    opened = engine(folder, listener)
    opened.actor, opened.verifier = Speaker(reply), Exact()
    return Run(opened)


def test_a_verifier_ends_each_chain_where_it_is_right(tmp_path: Path) -> None:
    run = opened(tmp_path, counts_up)
    chains = refined(run, START, TASKS, Verifying("wrong"), Refining(turns=3))
    assert [chain.answer.response for chain in chains] == ["2", "3", "3", "3"]
    assert [chain.ended for chain in chains] == [Ended.ACCEPTED, Ended.ACCEPTED, Ended.BUDGET, Ended.BUDGET]
    assert [chain.answers[0].task for chain in chains] == [task.key for task in TASKS]
    assert {answer.task for answer in chains[0].answers} == {TASKS[0].key}
    assert [word.text for word in chains[0].said] == ["wrong", "wrong", ""]


def test_words_stand_before_the_question_and_memory_says_how_many(tmp_path: Path) -> None:
    seen: list[tuple[str, ...]] = []

    def reply(task: Task, seed: int) -> str:
        seen.append(tuple(message.content for message in task.messages))
        return counts_up(task, seed)

    for history in History:
        refined(
            opened(tmp_path / history, reply),
            START,
            TASKS[3:],
            Silent("no"),
            Refining(turns=2, history=history),
        )
    again = "no\n4+1?"
    assert seen[1] == seen[4] == ("4+1?", "0", again)
    assert seen[2] == ("4+1?", "1", again)
    assert seen[5] == ("4+1?", "0", again, "1", again)


@pytest.mark.parametrize(
    ("until", "ended", "answer", "count"),
    [
        ((Ended.UNCHANGED,), Ended.UNCHANGED, "5", 2),
        ((), Ended.BUDGET, "5", 4),
    ],
)
def test_a_repeated_answer_ends_a_chain_if_it_may(
    until: tuple[Ended, ...], ended: Ended, answer: str, count: int, tmp_path: Path
) -> None:
    (chain,) = refined(
        opened(tmp_path, lambda task, seed: "5"), START, TASKS[:1], Silent(), Refining(turns=3, until=until)
    )
    assert (chain.ended, chain.answer.response, len(chain.answers)) == (ended, answer, count)


def test_a_drop_gives_the_answer_before_it(tmp_path: Path) -> None:
    scores = {"0": 0.2, "1": 0.6, "2": 0.4}
    critic = Consulting(lambda task, response: Criticism(score=scores[response]))
    run = opened(tmp_path, counts_up)
    (chain,) = refined(run, START, TASKS[:1], critic, Refining(turns=5, until=(Ended.DROP,)))
    assert (chain.ended, chain.kept, chain.answer.response) == (Ended.DROP, 1, "1")
    ((first, second, third),) = qualities(run, TASKS[:1], [chain])
    assert (first, second, third) == (0.0, 0.0, 1.0)
    (answer,) = answers_of(
        opened(tmp_path / "facts", counts_up),
        START,
        TASKS[:1],
        critic,
        Refining(turns=5, until=(Ended.DROP,)),
    )
    assert [answer.outcome[f"q_{k}"] for k in range(6)] == [0.0] * 6, "what was dropped never stands"


def test_a_budget_of_tokens_ends_chains(tmp_path: Path) -> None:
    (chain,) = refined(
        opened(tmp_path, counts_up), START, TASKS[:1], Silent(), Refining(turns=9, tokens=5, until=())
    )
    assert (chain.ended, chain.tokens, len(chain.answers)) == (Ended.BUDGET, 6, 3)


def test_a_model_is_asked_for_its_words_and_may_accept(tmp_path: Path) -> None:
    def reply(task: Task, seed: int) -> str:
        if task.question == "right?":
            return "Yes." if said_before(task)[-1] == "2" else "one more"
        return counts_up(task, seed)

    critic = Asking("right?", accept="yes")
    chains = refined(opened(tmp_path, reply), START, TASKS[:2], critic, Refining(turns=4))
    assert [chain.answer.response for chain in chains] == ["2", "2"]
    assert [word.text for word in chains[0].said] == ["one more", "one more", "Yes."]


def test_an_answer_that_comes_twice_stands(tmp_path: Path) -> None:
    def reply(task: Task, seed: int) -> str:
        return "7" if said_before(task) else "sure" if task == TASKS[0] else str(seed)

    chains = refined(opened(tmp_path, reply), START, TASKS[:2], Doubting("hm"), Refining(turns=1, until=()))
    assert [chain.said[0].accepted for chain in chains] == [True, False]
    assert [chain.said[0].text for chain in chains] == ["", "hm"]


def test_another_policy_may_revise(tmp_path: Path) -> None:
    other = START.model_copy(update={"base": "other"})
    (chain,) = refined(
        opened(tmp_path, counts_up), START, TASKS[:1], Silent(), Refining(turns=1), reviser=other
    )
    assert [answer.policy for answer in chain.answers] == [START.version, other.version]


def test_unknown_verdicts_say_nothing(tmp_path: Path) -> None:
    run = opened(tmp_path, lambda task, seed: "?")
    (chain,) = refined(run, START, TASKS[:1], Verifying(), Refining(turns=1, until=(Ended.ACCEPTED,)))
    assert chain.said == (Criticism(), Criticism())
    (answer,) = revised(run, START, TASKS[:1], Refining(turns=1, until=()))
    assert answer.outcome == {}
    assert curve_of([answer]) is None


def test_words_that_are_dealt_out_are_the_same_words(tmp_path: Path) -> None:
    run = opened(tmp_path, counts_up)
    critic: Critic = Consulting(lambda task, response: Criticism(text=task.answer))
    answers = list(run.attempt(START, TASKS))
    said = [word.text for word in critic.criticise(run, START, TASKS, answers)]
    dealt = [word.text for word in Dealt(critic).criticise(run, START, TASKS, answers)]
    assert said == ["2", "3", "4", "5"] and sorted(dealt) == said and dealt != said


def test_steps_of_chains_are_records(tmp_path: Path) -> None:
    run = opened(tmp_path, counts_up)
    chains = refined(run, START, TASKS[:1], Silent("no"), Refining(turns=3, until=()))
    found = refinements(chains, qualities(run, TASKS, chains))
    assert [one.change for one in found.items] == [Change.KEPT, Change.MENDED, Change.SPOILED]
    assert [(one.turn, one.feedback) for one in found.items] == [(1, "no"), (2, "no"), (3, "no")]


def test_as_many_samples_are_drawn_as_a_chain_has_answers(tmp_path: Path) -> None:
    run = opened(tmp_path, counts_up)
    chains = refined(run, START, TASKS, Verifying(), Refining(turns=3, until=(Ended.ACCEPTED,)))
    run = opened(tmp_path / "control", lambda task, seed: task.answer if seed % 3 else "no")
    rows = equal_attempts(run, START, TASKS, chains, 1.0)
    calls = run.used(Purpose.CONTROL).model_calls
    assert calls == sum(len(chain.answers) for chain in chains)
    for row in rows:
        assert row["equal mean"] <= row["equal pass"] and row["equal vote"] <= row["equal pass"]


def test_a_workflow_tells_its_curve_and_warns_if_it_is_flat(tmp_path: Path) -> None:
    many = [task(number) for number in range(1, 13)]
    for name, turns, warned in (("flat", 1, True), ("steep", 13, False)):
        run = opened(tmp_path / name, counts_up)
        policy = run.workflow(START, by_verifier, Refining(turns=turns))
        curve = watch_refinement(run, policy, many)
        assert curve and bool(curve.warning) is warned
        assert (curve.mended, curve.spoiled) == (0 if warned else 12, 0)
        assert sum(row.entry.verb == "warn" for row in run._engine.journal) == warned


def test_warnings_are_shown_once_and_kept(tmp_path: Path) -> None:
    for shown in (1, 0):
        stream = io.StringIO()
        started = engine(tmp_path)
        started.listener = Live(Console(file=stream, width=80))
        run = Run(started)
        run.warn("mind [red]")
        run.scope("probe").warn("mind the gap")
        assert stream.getvalue().count("mind [red]") == shown
        assert warnings_of(Steps.of(started)) == (
            "warning (run): mind [red]",
            "warning (probe): mind the gap",
        )
        started.journal.close()


def by_verifier(scope: Scope, policy: Policy, tasks: Sequence[Task], how: Refining) -> tuple[Attempt, ...]:
    return answers_of(scope, policy, tasks, Verifying(), how)


def test_a_killed_run_ends_as_a_whole_one(tmp_path: Path) -> None:
    asked = [0]

    def opinion(task: Task, response: str) -> Criticism:
        asked[0] += 1
        return Criticism(text=str(asked[0]), accepted=response == "2")

    whole = refined(opened(tmp_path / "a", counts_up), START, TASKS, Consulting(opinion), Refining())
    calls, asked[0] = asked[0], 0
    again, kills = None, 0
    while again is None:
        run = opened(tmp_path / "b", counts_up, KillAfter(1))
        try:
            again = refined(run, START, TASKS, Consulting(opinion), Refining())
        except Killed:
            kills += 1
        finally:
            run._engine.journal.close()
    assert kills > 3 and asked[0] == calls, "a function of the user's is asked once"
    assert again == whole


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.booleans())
def test_the_answer_that_counts_is_the_last_unless_it_dropped(scores: list[float], drop: bool) -> None:
    how = Refining(turns=9, until=(Ended.DROP,) if drop else ())
    attempts = [
        Attempt(task="t", index=0, policy="p", turns=(Turn(author=Author.POLICY, text=str(n)),))
        for n in range(len(scores))
    ]
    chain = Chain(answers=(attempts[0],))
    for number, score in enumerate(scores):
        if number:
            chain = chain.revised(attempts[number], how)
        chain = chain.heard(Criticism(score=score), how)
        if chain.ended:
            break
    falls = [n for n in range(1, len(scores)) if scores[n] < scores[n - 1]]
    assert chain.kept == (falls[0] - 1 if drop and falls else len(scores) - 1)


QUESTION = task(1)


def answer(text: str) -> Attempt:
    turns = (Turn(author=Author.TEMPLATE, text="Q"), Turn(author=Author.POLICY, text=text))
    return Attempt(task=QUESTION.key, index=0, policy="p", turns=turns)


PAIRS = Pairs(items=(Pair(better=answer("2"), worse=answer("0")),))


def test_gaps_are_ordered_as_the_relations_say() -> None:
    found = gaps(PAIRS, [QUESTION], START.prompt)
    values = {
        (one.attempt.response, one.attempt.turns[0].text.split("A: ")[1][0]): one.values[0]
        for one in found.items
    }
    assert values == {("2", "0"): 1.0, ("2", "2"): 0.5, ("0", "0"): 0.5, ("0", "2"): 0.0}
    assert {one.attempt.task for one in found.items} == {QUESTION.key}
    assert [one.values for one in single(PAIRS).items] == [(1.0,), (0.0,)]


def test_improvements_stand_after_the_worse_answer() -> None:
    (item,) = improvements(PAIRS, [QUESTION], START.prompt).items
    assert item.attempt.turns[0].text == "Q: 1+1?\nA: 0\n\nQ: 1+1?\nA:"
    assert item.attempt.response == "2"


def test_a_judge_who_errs_turns_pairs_round() -> None:
    many = Pairs(items=PAIRS.items * 200)
    assert misjudged(many, random.Random(1), 0.0) == many
    assert misjudged(many, random.Random(1), 1.0) == flipped(many)
    turned = sum(pair.better.response == "0" for pair in misjudged(many, random.Random(1), 0.1).items)
    assert 5 <= turned <= 40


def test_what_is_shown_in_the_ablation_answers_another_question() -> None:
    other = answer("7").model_copy(update={"task": "another"})
    rows = [answer("1"), answer("2"), other]
    assert Shown.OWN.among(rows) == ["1", "2", "7"]
    assert Shown.SHUFFLED.among(rows) == ["7", "7", "1"]
    assert Shown.SHUFFLED.among(rows[:1]) == ["1"], "there is no other"
