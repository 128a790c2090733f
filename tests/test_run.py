"""The loop's promises, on a toy world: nothing is done twice, any kill ends in the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers_run import START, KillAfter, Killed, ToyActor, choose_samples, engine, loop, task_set
from sharpen.core.budget import Budget, Purpose
from sharpen.core.errors import BudgetExhausted, Damaged, Mismatch, Sealed
from sharpen.core.gate import GateMode
from sharpen.core.journal import read_rows
from sharpen.core.run import Run


def bodies(folder: Path) -> list[tuple[str, str]]:
    return [(row.entry.model_dump_json(), row.hash) for row in read_rows(folder)]


def run_through(folder: Path, **options: object) -> str:
    made = engine(folder, **options)  # type: ignore[arg-type]
    try:
        return loop(Run(made), task_set(), START).version
    finally:
        made.journal.close()


def run_until(folder: Path, rows: int) -> None:
    made = engine(folder, KillAfter(rows))
    try:
        with pytest.raises(Killed):
            loop(Run(made), task_set(), START)
    finally:
        made.journal.close()


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference")
    run_through(folder)
    return folder


def test_every_row_boundary_resumes_to_the_same_bytes(reference: Path, tmp_path: Path) -> None:
    wanted = bodies(reference)
    for rows in range(1, len(wanted)):
        folder = tmp_path / str(rows)
        run_until(folder, rows)
        run_through(folder)
        assert bodies(folder) == wanted


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kills=st.lists(st.integers(1, 6), max_size=5))
def test_many_kills_in_a_row(
    reference: Path, tmp_path_factory: pytest.TempPathFactory, kills: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("killed")
    for rows in kills:
        run_until(folder, rows)
    run_through(folder)
    assert bodies(folder) == bodies(reference)


def test_a_finished_run_does_no_work_again(reference: Path) -> None:
    made = engine(reference)
    loop(Run(made), task_set(), START)
    made.journal.close()
    assert isinstance(made.actor, ToyActor)
    assert made.actor.jobs == 0


def test_seeds_change_the_outcome_and_equal_seeds_do_not(reference: Path, tmp_path: Path) -> None:
    run_through(tmp_path / "same")
    run_through(tmp_path / "other", seed=1)
    assert bodies(tmp_path / "same") == bodies(reference)
    assert bodies(tmp_path / "other") != bodies(reference)


def test_other_inputs_are_refused(reference: Path) -> None:
    made = engine(reference)
    other = START.model_copy(update={"base": "other"})
    with pytest.raises(Mismatch, match="configure"):
        loop(Run(made), task_set(), other)
    made.journal.close()


def test_budget_ends_the_run_and_a_larger_one_goes_on(reference: Path, tmp_path: Path) -> None:
    made = engine(tmp_path, budget=Budget(sampled_tokens=150))
    with pytest.raises(BudgetExhausted, match="sampled_tokens"):
        loop(Run(made), task_set(), START)
    used = made.used[Purpose.METHOD][0].sampled_tokens
    assert 150 <= used < 150 + 8 * 3
    made.journal.close()
    run_through(tmp_path, budget=Budget(sampled_tokens=1e9))
    assert bodies(tmp_path) == bodies(reference)


def test_damaged_results_are_found_and_repaired(tmp_path: Path) -> None:
    run_through(tmp_path)
    wanted = bodies(tmp_path)
    victims = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    for victim in victims:
        victim.write_bytes(b"rotten" + victim.read_bytes()[6:])
    with pytest.raises(Damaged, match="--repair"):
        run_through(tmp_path)
    run_through(tmp_path, repair=True)
    assert bodies(tmp_path) == wanted
    run_through(tmp_path)


def test_an_enforcing_gate_adopts_only_what_it_accepts(tmp_path: Path) -> None:
    made = engine(tmp_path, gate=GateMode.ENFORCE)
    loop(Run(made), task_set(), START)
    made.journal.close()
    adopted = {row.entry.key: row for row in read_rows(tmp_path) if row.entry.verb == "gate"}
    assert len(adopted) == 3
    assert made.used[Purpose.METHOD][0].judge_calls > made.used[Purpose.EVALUATION][0].judge_calls


def test_scopes_have_keys_of_their_own(tmp_path: Path) -> None:
    made = engine(tmp_path)
    run, tasks = Run(made), task_set()
    first = run.scope("stage").attempt(START, tasks.train, samples=2)
    second = run.scope("stage").attempt(START, tasks.train, samples=2)
    nested = run.scope("outer").scope("inner").attempt(START, tasks.train, samples=2)
    keys = [row.entry.key for row in read_rows(tmp_path)]
    made.journal.close()
    assert len(set(keys)) == len(keys) == 9
    assert len({tuple(a.response for a in group) for group in (first, second, nested)}) > 1


def test_propose_gets_a_scope(tmp_path: Path) -> None:
    made = engine(tmp_path)
    assert Run(made).propose(choose_samples, START, task_set().train) in (2, 3)
    made.journal.close()


def test_the_test_split_is_sealed() -> None:
    tasks = task_set()
    with pytest.raises(Sealed):
        _ = tasks.test
    assert len(tasks.open_test()) == 8
    with pytest.raises(Sealed):
        tasks.open_test()
