"""Open an executor by its name: `local`, `ray`, or `ray:ADDRESS`, the last two with options."""

from __future__ import annotations

import os
from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING, get_type_hints

from sharpen.core.errors import BadInput
from sharpen.core.spec import Spec
from sharpen.executors.crew import Crew, LocalCrew
from sharpen.executors.hands import Hands, Make
from sharpen.executors.pool import JudgePool

if TYPE_CHECKING:
    from sharpen.executors.ray_hands import Placement

LOCAL = "local"


def open_pool(executor: str = LOCAL) -> JudgePool:
    """Workers on this machine, or on a Ray cluster; BadInput for any other name."""
    if executor == LOCAL:
        return JudgePool()
    from sharpen.executors.ray_pool import RayPool

    address, placement = _ray(executor)
    # A cluster of this machine alone has a CPU for judges beside the engines', if only on paper.
    wanted = ceil(placement.engines * placement.cpus) + 1
    return RayPool(address, cpus=max(wanted, os.cpu_count() or 1))


def engines_in(executor: str) -> int:
    """How many engines the executor's name asks for."""
    return 0 if executor == LOCAL else _ray(executor)[1].engines


def open_hands(executor: str, pool: JudgePool, make: Make, *arguments: object) -> Hands | None:
    """The engines that the executor's name asks for, on the cluster of its pool; None if it asks for none."""
    if executor == LOCAL:
        return None
    from sharpen.executors.ray_hands import RayHands
    from sharpen.executors.ray_pool import RayPool

    _, placement = _ray(executor)
    if not placement.engines or not isinstance(pool, RayPool):
        return None
    return RayHands(pool.cluster, placement, make, *arguments)


def open_crew(executor: str, workers: int | None, *, preload: Sequence[str] = ()) -> Crew:
    """Processes on this machine, or tasks on a Ray cluster; at most so many at a time.

    As many as there are cores, if `workers` is None. `preload` names modules that processes on this machine
    import once for all. BadInput for any other name.
    """
    if executor == LOCAL:
        return LocalCrew(workers, preload=preload)
    from sharpen.executors.ray_crew import RayCrew

    address, placement = _ray(executor)
    if placement.engines:
        raise BadInput(
            "executor", executor, "whole runs are spread here", remedy="leave engines out, or run one by one"
        )
    return RayCrew(address, workers)


def _ray(executor: str) -> tuple[str | None, Placement]:
    """The address of a cluster, and what is asked of it."""
    from sharpen.executors.ray_hands import Placement

    spec = Spec.parse(executor, kind="executor")
    kind, _, address = spec.name.partition(":")
    if kind != "ray":
        raise BadInput("executor", executor, "there is no such executor", remedy="local, ray, or ray:ADDRESS")
    hints = get_type_hints(Placement, include_extras=True)
    fields = {name: hints[name] for name in Placement.model_fields}
    return address or None, Placement(**spec.bind(fields, kind="executor"))
