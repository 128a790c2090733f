"""Judging ahead changes nothing but the time: rows, files and verdicts are the same."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import helpers_pool as work
from helpers_run import START, KillAfter, Killed, ToyVerifier, contents, engine, loop, task, task_set
from sharpen.core.ahead import Ahead, Begun, Read
from sharpen.core.attempt import Attempt, Stop
from sharpen.core.run import Run
from sharpen.core.task import Task
from sharpen.core.verdict import Scored, Verdict
from sharpen.executors.pool import JudgePool, Loss, Lost, Value

Pairs = Sequence[tuple[Task, Attempt]]


@dataclass
class Eager(ToyVerifier):
    """Begins at once; notes how many it was asked for, and which were dropped."""

    begun: list[int] = field(default_factory=list)
    judged: list[int] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)

    def begin(self, pairs: Pairs, read: Read) -> Begun[Verdict]:
        self.begun.append(len(pairs))
        verdicts = super().judge(pairs, read)
        return Begun(lambda: verdicts, lambda: self.dropped.append(len(pairs)))

    def judge(self, pairs: Pairs, read: Read) -> list[Verdict]:
        self.judged.append(len(pairs))
        return super().judge(pairs, read)


def run_in(folder: Path, verifier: ToyVerifier, listener: KillAfter | None = None) -> None:
    made = engine(folder, listener)
    made.verifier = verifier
    try:
        loop(Run(made), task_set(train=13), START)
    finally:
        made.journal.close()


def test_a_run_has_the_same_bytes_with_and_without(tmp_path: Path) -> None:
    eager = Eager()
    run_in(tmp_path / "ahead", eager)
    run_in(tmp_path / "plain", ToyVerifier())
    assert contents(tmp_path / "ahead") == contents(tmp_path / "plain")
    assert sum(eager.begun) > 0 and sum(eager.judged) > 0


@pytest.mark.parametrize("rows", [3, 4, 5, 6, 9, 14])
def test_a_run_that_is_killed_ends_in_the_same_bytes(tmp_path: Path, rows: int) -> None:
    with pytest.raises(Killed):
        run_in(tmp_path / "killed", Eager(), KillAfter(rows))
    run_in(tmp_path / "killed", Eager())
    run_in(tmp_path / "plain", ToyVerifier())
    assert contents(tmp_path / "killed") == contents(tmp_path / "plain")


def pairs_of(count: int) -> list[tuple[Task, Attempt]]:
    return [(task(n), Attempt(task=task(n).key, index=0, policy="p", turns=())) for n in range(count)]


def nothing(sha: str) -> bytes:
    raise AssertionError(sha)


class Numbered(Eager):
    """Says of an attempt which call it came in."""

    def judge(self, pairs: Pairs, read: Read) -> list[Verdict]:
        self.judged.append(len(pairs))
        return [Scored(value=1.0, critique=t.answer) for t, _ in pairs]

    def begin(self, pairs: Pairs, read: Read) -> Begun[Verdict]:
        verdicts: list[Verdict] = [Scored(value=1.0, critique=t.answer) for t, _ in pairs]
        return Begun(lambda: verdicts, lambda: self.dropped.append(len(pairs)))


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(1, 7), st.integers(1, 7), st.integers(0, 3))
def test_verdicts_are_in_order_however_they_are_cut(count: int, begun: int, asked: int, left: int) -> None:
    pairs, verifier, ahead = pairs_of(count), Numbered(), Ahead(nothing)
    for start in range(0, count, begun)[: left + 1]:
        ahead.begin(verifier, "here", pairs[start : start + begun])
    found = [v for n in range(0, count, asked) for v in ahead.judge(verifier, pairs[n : n + asked])]
    assert [verdict.critique for verdict in found if isinstance(verdict, Scored)] == [
        t.answer for t, _ in pairs
    ]
    assert sum(verifier.judged) == max(0, count - begun * (left + 1))


def test_what_is_not_asked_for_is_dropped_and_equal_attempts_are_not_confused() -> None:
    pairs, verifier, ahead = pairs_of(4), Numbered(), Ahead(nothing)
    failed = [(t, a.model_copy(update={"stop": Stop.FAILED})) for t, a in pairs[:1]]
    ahead.begin(verifier, "here", [*pairs, *failed])
    ahead.judge(Numbered(), pairs)
    twins = [(t, a.model_copy()) for t, a in pairs]
    ahead.judge(verifier, twins)
    assert verifier.judged == [4], "another verifier, or another attempt that is equal, is not served"
    ahead.begin(verifier, "elsewhere", [])
    assert verifier.dropped == [4]


def test_a_pool_judges_while_nobody_waits_and_the_next_call_comes_first() -> None:
    with JudgePool() as pool:
        first = pool.begin(work.slow_square, range(20), deadline=10)
        second = pool.begin(work.square, range(7), deadline=10)
        assert pool.map(work.square, [9], deadline=10) == [Value(81)]
        assert second.results() == [Value(n * n) for n in range(7)]
        assert first.results() == [Value(n * n) for n in range(20)]
        hung = pool.begin(work.hang_on_2, range(2, 6), deadline=0.1)
        hung.drop()
        assert pool.map(work.square, [3], deadline=10) == [Value(9)]
        again = pool.begin(work.slow_square, range(8), deadline=10)
        pool.close()
        assert again.results() == [Value(n * n) for n in range(8)]


def test_deadlines_hold_while_nobody_looks() -> None:
    with JudgePool() as pool:
        begun = pool.begin(work.hang_on_2, range(6), deadline=0.2)
        lost = begun.results()
        assert lost == [Value(0), Value(1), Lost(Loss.TIMEOUT), Value(3), Value(4), Value(5)]
        late = pool.begin(work.sleep_for, [0.0, 0.4], deadline=0.2)
        time.sleep(0.6)
        assert late.results() == [Value(0.0), Lost(Loss.TIMEOUT)]
