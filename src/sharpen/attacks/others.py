"""Attacks as another user: an ordinary one without any right, where these attacks are started by root."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
from pathlib import Path

import sharpen
from sharpen.core.errors import Unavailable

NOBODY = 65534
_BECOME = f"import os\nos.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
_TRIAL = f"""
import sys
import sharpen.attacks.escapes
assert sys.version_info[:2] == {tuple(sys.version_info[:2])} and os.access(sys.executable, os.X_OK)
"""
"""What must work as that user: whether it does depends on the rights of every file and folder on the way."""


def python_for_others() -> str | None:
    """A Python of this version with which a user without rights can use our packages, if there is one."""
    known = (sys.executable, shutil.which("python3", path="/usr/local/bin:/usr/bin"))
    return next((each for each in known if each is not None and not _run(each, _TRIAL).returncode), None)


def said_by_nobody(program: str) -> str:
    """What a program of ours writes that is run as a user without rights.

    Raises Unavailable where no other user can be played, or the program fails.
    """
    python = python_for_others()
    if python is None:
        raise Unavailable(
            "no other user can be played here",
            remedy="be root, with a Python and packages that every user may read",
        )
    done = _run(python, program)
    if done.returncode:
        raise Unavailable(f"it failed: {done.stderr.strip()[-300:]}", remedy="run it as that user by hand")
    return done.stdout


def _run(python: str, program: str) -> subprocess.CompletedProcess[str]:
    packages = [str(Path(sharpen.__file__).parents[1]), *site.getsitepackages()]
    return subprocess.run(
        [python, "-c", _BECOME + program],
        capture_output=True,
        text=True,
        cwd="/",
        env={"PYTHONPATH": ":".join(packages), "PATH": os.environ.get("PATH", "/usr/bin:/bin")},
        check=False,
    )
