"""Judging on a cluster is judging: the same results in the same order, whatever an item does."""

from __future__ import annotations

import os
import sys

import pytest

from helpers_pool import crash_on_even, misbehave, square
from sharpen.core.errors import BadInput
from sharpen.executors.pool import JudgePool, Loss, Lost, Value
from sharpen.executors.source import open_pool


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


def kind(done: Value[int] | Lost) -> object:
    return done.loss if isinstance(done, Lost) else done.value
