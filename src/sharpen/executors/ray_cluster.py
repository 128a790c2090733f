"""A Ray cluster as Sharpen uses it: joined once, checked for its version, and with errors one can act on."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import sharpen
from sharpen.core.errors import Mismatch, Unavailable

RETRIES = 8
"""How often Ray does a task again whose worker or node was lost."""
_JOIN_SECONDS = 120.0
_REACH_SECONDS = 10.0


class Gone(Unavailable):
    """What was to be done is lost with the process or the node that did it."""


class Cluster:
    """A cluster that this process is a driver of."""

    def __init__(self, address: str | None, *, cpus: int | None = None) -> None:
        """`address` as Ray knows it, such as `auto` or HOST:6379; none starts Ray on this machine.

        `cpus` are what Ray gives out on this machine where it is started, by default as many as there are.
        Unavailable without Ray or a cluster there; Mismatch if its nodes have another version of sharpen.
        """
        if find_spec("ray") is None:
            raise Unavailable("the package ray is not installed", remedy="pip install 'sharpen[ray]'")
        # Nothing is reported to anybody from here, unless the user has said so.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        self.ray = ray
        try:
            _reach(address)
            own = {} if address else {"include_dashboard": False, "num_cpus": cpus}
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", **own)
        except (OSError, ValueError) as error:
            raise Unavailable(
                f"there is no Ray cluster at {address}: {' '.join(str(error).split())[:200]}",
                remedy="start one with `ray start --head`, or give its address: --executor ray:HOST:6379",
            ) from error
        self._check()

    def task(self, function: Callable[..., object], **options: object) -> Any:
        """A function, importable by name on every node, as a task of one CPU that is done again if lost."""
        return self.ray.remote(num_cpus=1, max_retries=RETRIES, **options)(function)

    def actor(self, kind: type, **options: object) -> Any:
        """A class, importable by name on every node, as an actor; its actors are spread over the nodes."""
        return self.ray.remote(max_restarts=0, scheduling_strategy="SPREAD", **options)(kind)

    def put(self, value: object) -> Any:
        """A value that tasks can get by what is returned, as long as that is kept."""
        return self.ray.put(value)

    def room(self) -> dict[str, float]:
        """What all nodes have together: `CPU`, `GPU`."""
        return dict(self.ray.cluster_resources())

    def done(self, tasks: list[Any]) -> int:
        """How many of these tasks have ended, in whatever way."""
        return len(self.ray.wait(tasks, num_returns=len(tasks), timeout=0)[0]) if tasks else 0

    def first(self, tasks: list[Any], seconds: float | None = None) -> Any:
        """The first of these tasks that has ended; Unavailable if none does in so many seconds."""
        ended, _ = self.ray.wait(tasks, num_returns=1, timeout=seconds)
        if not ended:
            raise _lost(f"has not finished a task in {seconds:.0f} s")
        return ended[0]

    def got(self, task: Any, seconds: float | None = None) -> Any:
        """The result of a task; Unavailable if there is none, after so many seconds if they are given.

        Gone if it is lost with its process or node, and Ray does not do it again.
        """
        errors = self.ray.exceptions
        try:
            return self.ray.get(task, timeout=seconds)
        except errors.GetTimeoutError as error:
            raise _lost(f"has not finished a task in {seconds:.0f} s") from error
        except errors.RayTaskError as error:
            raise Unavailable(
                f"a node of the Ray cluster cannot do the work: {_last_line(error)}",
                remedy="have the same packages, and files of your own in the same places, on every node",
            ) from error
        except (errors.RayActorError, errors.ObjectLostError) as error:
            raise _lost(f"lost an engine: {_last_line(error)}", Gone) from error
        except (errors.WorkerCrashedError, errors.NodeDiedError, errors.RaySystemError) as error:
            raise _lost(f"lost a task {RETRIES} times over: {type(error).__name__}") from error

    def cancel(self, task: Any, *, force: bool = False) -> None:
        """Let go a task whose result nobody wants any more; with force its process is ended."""
        self.ray.cancel(task, force=force)

    def end(self, actor: Any) -> None:
        """End an actor, if it has not ended."""
        self.ray.kill(actor)

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


def _reach(address: str | None) -> None:
    """OSError if nobody listens at HOST:PORT: Ray itself tries for minutes before it says so."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_SECONDS).close()


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()[:200]


def _lost(what: str, kind: type[Unavailable] = Unavailable) -> Unavailable:
    return kind(
        f"the Ray cluster {what}",
        remedy="look at `ray status`, then run the same command again: nothing done is lost",
    )
