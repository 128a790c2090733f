"""A crew on a Ray cluster: one task of one CPU per piece of work, each in a process of its own.

Work that was lost with its worker or its node is done again elsewhere. So it must be able to go on from what
it left on disk, which every node must see: a file system that they share, at the same path.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from sharpen.core.errors import SharpenError, Unavailable
from sharpen.executors.crew import Ended
from sharpen.executors.ray_cluster import Cluster


class RayCrew:
    """Runs functions as tasks of a cluster; use as a context manager, as the crew of this machine is."""

    def __init__(self, address: str | None, workers: int | None) -> None:
        """Join the cluster at `address`, for so many tasks at a time; as many as it has CPUs if None."""
        self._cluster = Cluster(address)
        # A worker that ends with its task leaves nothing to the next one.
        self._task = self._cluster.task(_work, max_calls=1)
        self._workers = workers or max(1, int(self._cluster.room().get("CPU", 1)))
        self._running: dict[Any, Any] = {}

    def __enter__(self) -> RayCrew:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        for task in self._running.values():
            self._cluster.cancel(task, force=True)
        self._cluster.close()

    @property
    def free(self) -> bool:
        """Whether another piece of work can be started."""
        return len(self._running) < self._workers

    @property
    def busy(self) -> bool:
        """Whether any piece of work is under way."""
        return bool(self._running)

    def start(self, key: Any, function: Callable[..., object], *arguments: object) -> None:
        """Call a function, importable by name on every node; a SharpenError it raises is handed on."""
        self._running[key] = self._task.remote(function, arguments)

    def wait(self) -> Ended:
        """Wait until a piece of work ends."""
        ready = self._cluster.first(list(self._running.values()))
        key = next(key for key, task in self._running.items() if task == ready)
        try:
            said = self._cluster.got(self._running.pop(key))
        except Unavailable as error:
            return Ended(key, error)
        return Ended(key, SharpenError(said[0], remedy=said[1]) if said else None)


def _work(function: Callable[..., object], arguments: Sequence[object]) -> tuple[str, str] | None:
    """On a node: what went wrong in a way that a person can mend."""
    try:
        function(*arguments)
    except SharpenError as error:
        return error.problem, error.remedy
    return None
