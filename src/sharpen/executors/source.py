"""Open an executor by its name: `local`, `ray`, or `ray:ADDRESS`."""

from __future__ import annotations

from sharpen.core.errors import BadInput
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
    raise BadInput("executor", executor, "there is no such executor", remedy="local, ray, or ray:ADDRESS")
