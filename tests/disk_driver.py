"""Runs `sharpen run star` on a disk that is full, with a little more room after each failure.

    unshare --map-root-user --mount python disk_driver.py MOUNT OUT

Mounts a small file system on MOUNT, fills it with a ballast file, and runs the command until it succeeds,
giving back some space each time. Prints one JSON line per call of the command: its exit status and what it
wrote to standard error. OUT gets a copy of the finished run, and a run on a disk with space.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

SIZE = 48 << 20
ROOM = [16 << 10] * 8 + [128 << 10] * 3 + [6 << 20] * 6
"""Bytes given back after each failure: little at a time while the journal is made, then as for weights."""


def command(folder: Path) -> list[str]:
    from sharpen.core.recipe import load_recipe

    small = load_recipe("star").small
    words = {**small.request, **small.config, "out": folder}
    return ["run", "star", *(f"--{name.replace('_', '-')}={value}" for name, value in words.items())]


def call(words: list[str]) -> dict[str, object]:
    from sharpen.cli import main

    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            main(words)
            status: object = 0
        except SystemExit as error:
            status = error.code
    return {"status": status, "said": said.getvalue()}


def main() -> None:
    mount, out = Path(sys.argv[1]), Path(sys.argv[2])
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", mount], check=True)
    ballast = mount / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as handle:
        while True:
            handle.write(bytes(1 << 20))
    for room in ROOM:
        done = call(command(mount / "run"))
        print(json.dumps(done), flush=True)
        if done["status"] == 0:
            break
        os.truncate(ballast, max(0, ballast.stat().st_size - room))
    shutil.copytree(mount / "run", out / "run")
    call(command(out / "undisturbed"))


if __name__ == "__main__":
    main()
