"""TensorBoard: event files in a folder, which `tensorboard --logdir FOLDER` shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sharpen.report.sinks.base import About, Sink

PACKAGE = "tensorboard"


class _TensorBoard:
    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self, *, ended: bool) -> None:
        self._writer.close()


def open_sink(about: About, *, folder: str = "") -> Sink:
    """Write to `folder`/RUN; the folder `tensorboard` beside the run if it is not given."""
    from tensorboard.summary import Writer

    place = Path(folder) if folder else about.beside / "tensorboard"
    return _TensorBoard(Writer(str(place / about.name)))
