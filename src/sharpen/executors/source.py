"""Open an executor by its name: `local`, `ray`, or `ray:ADDRESS`."""

from __future__ import annotations

from collections.abc import Sequence

from sharpen.core.errors import BadInput
from sharpen.executors.crew import Crew, LocalCrew
from sharpen.executors.pool import JudgePool

LOCAL = "local"


def open_pool(executor: str = LOCAL) -> JudgePool:
    """Workers on this machine, or on a Ray cluster; BadInput for any other name."""
    kind, _, address = executor.partition(":")
    if executor == LOCAL:
        return JudgePool()
    if kind == "ray":
        from sharpen.executors.ray_pool import RayPool

        return RayPool(address or None)
    raise _unknown(executor)


def open_crew(executor: str, workers: int | None, *, preload: Sequence[str] = ()) -> Crew:
    """Processes on this machine, or tasks on a Ray cluster; at most so many at a time.

    As many as there are cores, if `workers` is None. `preload` names modules that processes on this machine
    import once for all. BadInput for any other name.
    """
    kind, _, address = executor.partition(":")
    if executor == LOCAL:
        return LocalCrew(workers, preload=preload)
    if kind == "ray":
        from sharpen.executors.ray_crew import RayCrew

        return RayCrew(address or None, workers)
    raise _unknown(executor)


def _unknown(executor: str) -> BadInput:
    return BadInput("executor", executor, "there is no such executor", remedy="local, ray, or ray:ADDRESS")
