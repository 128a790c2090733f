"""Judging on a cluster is judging: the same results in the same order, whatever an item does."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from helpers_compare import RECIPE, go, timeless
from helpers_pool import crash_on_even, misbehave, square
from helpers_run import contents
from sharpen.core.errors import BadInput
from sharpen.executors.pool import JudgePool, Loss, Lost, Value
from sharpen.executors.source import open_pool

ONCE = """
        if it.round == 2:
            import os
            if not os.path.exists({file!r}):
                os.mknod({file!r})
                os.kill(os.getpid(), 9)
"""


def test_unknown_executors_are_refused() -> None:
    with pytest.raises(BadInput, match="local, ray"):
        open_pool("slurm")


def test_a_cluster_gives_what_local_workers_give(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    # A cluster's workers find modules as this process's environment says, not as its test runner does.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    items = [3, 4, 5]
    with JudgePool() as local, open_pool("ray") as cluster:
        assert cluster.map(square, range(40), deadline=60) == [Value(n * n) for n in range(40)]
        raised = [pool.map(misbehave, [0, 1, 7], deadline=60) for pool in (local, cluster)]
        assert raised[0] == raised[1]
        crashed = [pool.map(crash_on_even, items, deadline=60) for pool in (local, cluster)]
        assert [kind(one) for one in crashed[0]] == [kind(one) for one in crashed[1]] == [3, Loss.CRASH, 5]


def test_a_comparison_on_a_cluster_is_that_of_local_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is killed in the middle of a run is replaced, and the run goes on."""
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    recipe, killed = tmp_path / "nothing.py", tmp_path / "killed"
    recipe.write_text(
        RECIPE.replace("        it.measure", ONCE.format(file=str(killed)) + "        it.measure")
    )
    arms = f"{recipe}:iterations=2"
    there = go(tmp_path / "there", arms, 1, executor="ray")
    assert killed.exists()
    here = go(tmp_path / "here", arms, 1)
    for run in (tmp_path / "there" / "runs").iterdir():
        assert contents(run) == contents(tmp_path / "here" / "runs" / run.name)
    assert timeless(there) == timeless(here)


def kind(done: Value[int] | Lost) -> object:
    return done.loss if isinstance(done, Lost) else done.value
