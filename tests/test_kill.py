"""kill -9 anywhere in one run, the same command again: the same journal and weights, byte for byte."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from helpers_run import contents
from kill_driver import drive, started
from sharpen.core.journal import read_rows
from sharpen.experiment.check_recipe import StopAfter, small_spec
from sharpen.experiment.execute import execute

PLACES = ["torn:1", "row:2", "failing:2", "replace:1", "replay:3", "progress:1", "full:3", "row:1", "torn:2"]
"""One after the other in one run; each counts from where the run then stands."""


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference")
    execute(small_spec("star"), folder, StopAfter(None))
    return folder


def test_chosen_places(reference: Path, tmp_path: Path) -> None:
    """Nine kills, or syncs that fail, in one run: between rows, in updates, in writes, before renames."""
    kills = sum(drive("star", tmp_path, place) for place in PLACES)
    assert kills >= 8
    drive("star", tmp_path)
    assert contents(tmp_path) == contents(reference)


def test_random_moments(reference: Path, tmp_path: Path) -> None:
    """Three kills of the whole process group at random moments of one run."""
    moments, rows = random.Random(7), len(list(read_rows(reference)))
    for kill in range(1, 4):
        child, enough = started("star", tmp_path), moments.uniform(0.1, 0.3) * kill * rows
        while child.is_alive() and journaled(tmp_path) < enough:
            time.sleep(0.01)
        assert child.pid is not None
        os.killpg(child.pid, signal.SIGKILL)
        child.join()
        assert child.exitcode == -signal.SIGKILL
    drive("star", tmp_path)
    assert contents(tmp_path) == contents(reference)


def journaled(folder: Path) -> int:
    """Rows of a run that may have none yet."""
    return len(list(read_rows(folder))) if (folder / "journal.sqlite").is_file() else 0
