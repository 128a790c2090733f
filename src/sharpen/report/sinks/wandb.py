"""Weights & Biases, offline: files in a folder, which `wandb sync` sends if somebody wants that."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sharpen.report.sinks.base import About, Sink

PACKAGE = "wandb"


class _WandB:
    def __init__(self, run: Any) -> None:
        self._run = run

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        # Its own step only ever grows, so rounds go by an axis of their own.
        self._run.log({"round": step, **values})

    def close(self, *, ended: bool) -> None:
        self._run.finish(exit_code=0 if ended else 1)


def open_sink(about: About, *, folder: str = "", project: str = "sharpen") -> Sink:
    """Write to `folder`/wandb; beside the run if no folder is given. Nothing is ever sent."""
    import wandb

    place = Path(folder) if folder else about.beside
    place.mkdir(parents=True, exist_ok=True)
    run = wandb.init(
        mode="offline",
        dir=str(place),
        project=project,
        id=about.key,
        name=about.name,
        resume="allow",
        config=dict(about.settings),
        settings=wandb.Settings(silent=True, console="off", disable_git=True, x_disable_stats=True),
    )
    run.define_metric("*", step_metric="round")
    return _WandB(run)
