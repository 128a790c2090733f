"""A Ray cluster as Sharpen uses it: joined once, checked for its version, and with errors one can act on."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import sharpen
from sharpen.core.errors import Mismatch, Unavailable

RETRIES = 8
"""How often Ray does a task again whose worker or node was lost."""
_JOIN_SECONDS = 120.0


class Cluster:
    """A cluster that this process is a driver of."""

    def __init__(self, address: str | None) -> None:
        """`address` as Ray knows it, such as `auto` or HOST:6379; none starts Ray on this machine.

        Unavailable without Ray or a cluster there; Mismatch if its nodes have another version of sharpen.
        """
        if find_spec("ray") is None:
            raise Unavailable("the package ray is not installed", remedy="pip install 'sharpen[ray]'")
        # Nothing is reported to anybody from here, unless the user has said so.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        self.ray = ray
        try:
            own = {} if address else {"include_dashboard": False}
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", **own)
        except (ConnectionError, ValueError) as error:
            raise Unavailable(
                f"there is no Ray cluster at {address}: {' '.join(str(error).split())[:200]}",
                remedy="start one with `ray start --head`, or give its address: --executor ray:HOST:6379",
            ) from error
        self._check()

    def task(self, function: Callable[..., object], **options: object) -> Any:
        """A function, importable by name on every node, as a task of one CPU that is done again if lost."""
        return self.ray.remote(num_cpus=1, max_retries=RETRIES, **options)(function)

    def got(self, task: Any, seconds: float | None = None) -> Any:
        """The result of a task; Unavailable if there is none, after so many seconds if they are given."""
        errors = self.ray.exceptions
        try:
            return self.ray.get(task, timeout=seconds)
        except errors.GetTimeoutError as error:
            raise _lost(f"has not finished a task in {seconds:.0f} s") from error
        except errors.RayTaskError as error:
            reason = (str(error).strip().splitlines() or [""])[-1][:200]
            raise Unavailable(
                f"a node of the Ray cluster cannot do the work: {reason}",
                remedy="have the same packages, and files of your own in the same places, on every node",
            ) from error
        except (errors.WorkerCrashedError, errors.NodeDiedError, errors.RaySystemError) as error:
            raise _lost(f"lost a task {RETRIES} times over: {type(error).__name__}") from error

    def cancel(self, task: Any, *, force: bool = False) -> None:
        """Let go a task whose result nobody wants any more; with force its process is ended."""
        self.ray.cancel(task, force=force)

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        self.ray.shutdown()

    def _check(self) -> None:
        there = self.got(self.task(_version).remote(), _JOIN_SECONDS)
        if there != sharpen.__version__:
            raise Mismatch(
                f"the cluster has sharpen {there}, and this is {sharpen.__version__}",
                remedy="install the same version on every node",
            )


def _version() -> str:
    """On a node: the version there."""
    return sharpen.__version__


def _lost(what: str) -> Unavailable:
    return Unavailable(
        f"the Ray cluster {what}",
        remedy="look at `ray status`, then run the same command again: nothing done is lost",
    )
