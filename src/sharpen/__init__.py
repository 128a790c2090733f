"""Sharpen: models and agents that improve themselves, with proof."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sharpen.report.notebook import Loaded

__version__ = "0.1.0"


def load(folder: Path | str) -> Loaded:
    """Read a run from its folder: data frames, charts and its result, also while it runs.

    SharpenError if there is no run.
    """
    from sharpen.report.notebook import load as read

    return read(folder)
