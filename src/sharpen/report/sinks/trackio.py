"""trackio: a database in a file, which `trackio show` shows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sharpen.report.sinks.base import About, Sink

PACKAGE = "trackio"


class _Trackio:
    def __init__(self, run: Any) -> None:
        self._run = run

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self, *, ended: bool) -> None:
        self._run.finish()


def open_sink(about: About, *, folder: str = "", project: str = "sharpen") -> Sink:
    """Write to `folder`; to `trackio` beside the run if it is not given. Nothing is ever sent."""
    place = Path(folder) if folder else about.beside / "trackio"
    place.mkdir(parents=True, exist_ok=True)
    # Its client reads its folder when it is imported; this process has nothing else to do with it.
    os.environ["TRACKIO_DIR"] = str(place.absolute())
    import trackio

    run = trackio.init(
        project=project,
        name=f"{about.name}-{about.key}",
        config=dict(about.settings),
        resume="allow",
        embed=False,
        auto_log_gpu=False,
        auto_log_cpu=False,
    )
    return _Trackio(run)
