"""Judging on a Ray cluster: chunks of items as tasks, each done by a warm local pool on the node it lands on.

What an item gives is decided by the item alone, and results come back in item order, so a run's journal is
the same as with local workers, whatever dies on the way. Ray does the tasks of a lost node again elsewhere;
only when it gives up, or has no node left, is the run told, and it can be continued from its journal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, TypeVar

from sharpen.core.ahead import Begun
from sharpen.executors.pool import CHUNK, JudgePool, Lost, Value
from sharpen.executors.ray_cluster import RETRIES, Cluster

A = TypeVar("A")
R = TypeVar("R")

_PATIENCE = 60.0
"""Seconds beyond all deadlines that a chunk may take, each time it is done."""


class RayPool(JudgePool):
    """A pool whose workers are those of a Ray cluster; it is joined at once and left on closing."""

    def __init__(self, address: str | None, *, cpus: int | None = None) -> None:
        """Join the cluster at `address`; see `Cluster` for `cpus` and for what is refused."""
        super().__init__()
        self.cluster = Cluster(address, cpus=cpus)
        self._task = self.cluster.task(_work)

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        super().close()
        self.cluster.close()

    def begin(
        self, function: Callable[[A], R], items: Sequence[A], *, deadline: float, chunk: int | None = None
    ) -> Begun[Value[R] | Lost]:
        """Hand the items to the cluster, in chunks; at most `deadline` seconds each."""
        size = chunk or CHUNK
        chunks = [list(items[start : start + size]) for start in range(0, len(items), size)]
        tasks = [self._task.remote(function, part, deadline) for part in chunks]
        # Every lost node costs its chunks once more.
        longest = (len(items) * (deadline + 1) + _PATIENCE) * (RETRIES + 1)
        return Begun(partial(self._results, tasks, longest), partial(self._cancel, tasks))

    def _results(self, tasks: Sequence[Any], longest: float) -> list[Value[Any] | Lost]:
        return [result for task in tasks for result in self.cluster.got(task, longest)]

    def _cancel(self, tasks: Sequence[Any]) -> None:
        for task in tasks:
            self.cluster.cancel(task)


def _work(function: Callable[[A], R], items: Sequence[A], deadline: float) -> list[Value[R] | Lost]:
    """On a node: a chunk, by a pool that outlives it."""
    return _pool().map(function, items, deadline=deadline, chunk=len(items))


@cache
def _pool() -> JudgePool:
    """This Ray worker's own pool: what hangs or crashes there ends there."""
    return JudgePool(workers=1)
