"""Judging on a Ray cluster: chunks of items as tasks, each done by a warm local pool on the node it lands on.

What an item gives is decided by the item alone, and results come back in item order, so a run's journal is
the same as with local workers, whatever dies on the way. Ray does the tasks of a lost node again elsewhere;
only when it gives up, or has no node left, is the run told, and it can be continued from its journal.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib.util import find_spec
from typing import Any, TypeVar

import sharpen
from sharpen.core.ahead import Begun
from sharpen.core.errors import Mismatch, Unavailable
from sharpen.executors.pool import CHUNK, JudgePool, Lost, Value

A = TypeVar("A")
R = TypeVar("R")

RETRIES = 8
"""How often Ray does a task again whose worker or node was lost."""
_JOIN_SECONDS = 120.0
_PATIENCE = 60.0
"""Seconds beyond all deadlines that a chunk may take, each time it is done."""


class RayPool(JudgePool):
    """A pool whose workers are those of a Ray cluster; it is joined at once and left on closing."""

    def __init__(self, address: str | None) -> None:
        """`address` as Ray knows it, such as `auto` or HOST:6379; none starts Ray on this machine.

        Unavailable without Ray or a cluster there; Mismatch if its nodes have another version of sharpen.
        """
        super().__init__()
        if find_spec("ray") is None:
            raise Unavailable("the package ray is not installed", remedy="pip install 'sharpen[ray]'")
        # Nothing is reported to anybody from here, unless the user has said so.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        self._ray = ray
        try:
            own = {} if address else {"include_dashboard": False}
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", **own)
        except (ConnectionError, ValueError) as error:
            raise Unavailable(
                f"there is no Ray cluster at {address}: {' '.join(str(error).split())[:200]}",
                remedy="start one with `ray start --head`, or give its address: --executor ray:HOST:6379",
            ) from error
        self._task = ray.remote(num_cpus=1, max_retries=RETRIES)(_work)
        self._check()

    def _check(self) -> None:
        there = self._got(self._ray.remote(num_cpus=1, max_retries=RETRIES)(_version).remote(), _JOIN_SECONDS)
        if there != sharpen.__version__:
            raise Mismatch(
                f"the cluster has sharpen {there}, and this is {sharpen.__version__}",
                remedy="install the same version on every node",
            )

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        super().close()
        self._ray.shutdown()

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
        return [result for task in tasks for result in self._got(task, longest)]

    def _cancel(self, tasks: Sequence[Any]) -> None:
        for task in tasks:
            self._ray.cancel(task)

    def _got(self, task: Any, seconds: float) -> Any:
        errors = self._ray.exceptions
        try:
            return self._ray.get(task, timeout=seconds)
        except errors.GetTimeoutError as error:
            raise self._lost(f"has not finished a task in {seconds:.0f} s") from error
        except errors.RayTaskError as error:
            reason = (str(error).strip().splitlines() or [""])[-1][:200]
            raise Unavailable(
                f"a node of the Ray cluster cannot do the work: {reason}",
                remedy="have the same packages, and files of your own in the same places, on every node",
            ) from error
        except (errors.WorkerCrashedError, errors.NodeDiedError, errors.RaySystemError) as error:
            raise self._lost(f"lost a task {RETRIES} times over: {type(error).__name__}") from error

    def _lost(self, what: str) -> Unavailable:
        return Unavailable(
            f"the Ray cluster {what}",
            remedy="look at `ray status`, then run the same command again: nothing done is lost",
        )


def _version() -> str:
    """On a node: the version there."""
    return sharpen.__version__


def _work(function: Callable[[A], R], items: Sequence[A], deadline: float) -> list[Value[R] | Lost]:
    """On a node: a chunk, by a pool that outlives it."""
    return _pool().map(function, items, deadline=deadline, chunk=len(items))


@cache
def _pool() -> JudgePool:
    """This Ray worker's own pool: what hangs or crashes there ends there."""
    return JudgePool(workers=1)
