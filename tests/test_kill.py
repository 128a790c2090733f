"""kill -9 anywhere in one run, the same command again: the same journal and weights, byte for byte."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from helpers_run import contents
from kill_driver import drive, started

PLACES = ["torn:1", "row:2", "replace:1", "row:3", "progress:1", "torn:1", "replace:1"]
PLACES += ["row:1", "row:2", "torn:2", "progress:1", "replace:1", "torn:2"]
"""One after the other in one run; each counts from where the run then stands."""


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    folder = tmp_path_factory.mktemp("reference")
    assert not drive("star", folder / "first")  # waits until everything is imported
    start = time.monotonic()
    assert not drive("star", folder / "second")
    seconds = time.monotonic() - start
    assert contents(folder / "first") == contents(folder / "second")
    return folder / "second", seconds


def test_chosen_places(reference: tuple[Path, float], tmp_path: Path) -> None:
    """Thirteen kills in one run: between rows, in updates, in writes of checkpoints, before renames."""
    kills = sum(drive("star", tmp_path, place) for place in PLACES)
    assert kills >= 12
    drive("star", tmp_path)
    assert contents(tmp_path) == contents(reference[0])


def test_random_moments(reference: tuple[Path, float], tmp_path: Path) -> None:
    """Three kills of the whole process group at random moments of one run."""
    folder, seconds = reference
    moments, kills = random.Random(7), 0
    for _ in range(3):
        child = started("star", tmp_path)
        time.sleep(moments.uniform(0.1, 0.5) * seconds)
        assert child.pid is not None
        with suppress(ProcessLookupError):  # it may have come to its end before
            os.killpg(child.pid, signal.SIGKILL)
        child.join()
        kills += child.exitcode == -signal.SIGKILL
    assert kills
    drive("star", tmp_path)
    assert contents(tmp_path) == contents(folder)
