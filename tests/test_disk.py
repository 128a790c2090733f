"""A disk that really fills up: one line with a remedy each time, and the same bytes once there is space."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from helpers_run import contents

DRIVER = Path(__file__).parent / "disk_driver.py"
UNSHARE = ["unshare", "--map-root-user", "--mount"]


def can_mount(folder: Path) -> bool:
    try:
        mount = [*UNSHARE, "mount", "-t", "tmpfs", "none", str(folder)]
        return subprocess.run(mount, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def test_a_full_disk(tmp_path: Path) -> None:
    mount, out = tmp_path / "mount", tmp_path / "out"
    mount.mkdir()
    out.mkdir()
    if not can_mount(mount):
        pytest.skip("a small file system can be mounted only as root or in a user namespace")
    driver = [*UNSHARE, sys.executable, str(DRIVER), str(mount), str(out)]
    done = subprocess.run(driver, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *failed, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert last == {"status": 0, "said": ""}
    for call in failed:
        assert call["status"] == 2 and call["said"].count("\n") == 1, call
        assert call["said"].startswith("error: cannot ") and "free disk space" in call["said"]
    places = {Path(call["said"].split(": ")[1].rpartition("write ")[2]).name for call in failed}
    assert {"run", "journal.sqlite", "model.safetensors"} <= places
    assert contents(out / "run") == contents(out / "undisturbed")
    assert not list((out / "run").rglob("*.tmp"))
