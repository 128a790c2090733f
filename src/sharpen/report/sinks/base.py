"""What a sink is: one module here, found by its file name, that tells one tracker of a run.

It defines `PACKAGE`, the name of the package that must be installed, and `open_sink(about, *, ...) -> Sink`,
whose keyword arguments are what `--sink NAME?key=value` may say. It runs in a process of its own (see
`follow`): it may fail, hang or print, and no run is touched by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from sharpen.core.records import Record


class About(Record):
    """What a tracker is told of a run as a whole."""

    name: str
    """Of the run's folder."""
    key: str
    """Stands for this run in this folder; the same when the run goes on later."""
    beside: Path
    """The folder in which the run's folder lies."""
    settings: Mapping[str, str]
    """Everything a result depends on."""


class Sink(Protocol):
    """Tells a tracker; may raise whatever its client raises."""

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of a round, or of the end if the round was told before."""

    def close(self, *, ended: bool) -> None:
        """Nothing more comes now; `ended` if the run is whole."""
