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
_BECOME = "import os\nos.setgroups([]); os.setgid({0}); os.setuid({0})\n"


def python_for_others() -> str | None:
    """A Python of this version that every user may run, with our packages; none where there is none."""
    if not all(map(_may_be_entered, map(Path, _our_packages()))):
        return None
    known = (sys.executable, shutil.which("python3", path="/usr/local/bin:/usr/bin"))
    return next((python for python in known if python is not None and _is_open(python)), None)


def said_by_nobody(program: str) -> str:
    """What a program of ours writes that is run as a user without rights.

    Raises Unavailable where no other user can be played, or the program fails.
    """
    python = python_for_others()
    if python is None or os.getuid() != 0:
        raise Unavailable(
            "no other user can be played here",
            remedy="be root, with a Python and packages that every user may read",
        )
    done = subprocess.run(
        [python, "-c", _BECOME.format(NOBODY) + program],
        capture_output=True,
        text=True,
        cwd="/",
        env={"PYTHONPATH": ":".join(_our_packages()), "PATH": os.environ.get("PATH", "/usr/bin:/bin")},
        check=False,
    )
    if done.returncode:
        raise Unavailable(f"it failed: {done.stderr.strip()[-300:]}", remedy="run it as that user by hand")
    return done.stdout


def _our_packages() -> list[str]:
    return [str(Path(sharpen.__file__).parents[1]), *site.getsitepackages()]


def _may_be_entered(folder: Path) -> bool:
    """Whether every user may go into the folder."""
    place = folder.resolve()
    return all(part.stat().st_mode & 0o001 for part in (place, *place.parents))


def _is_open(python: str) -> bool:
    """Whether everyone may run it, and it is of this version."""
    if not _may_be_entered(Path(python).resolve().parent):
        return False
    asked = "import sys; print(*sys.version_info[:2])"
    said = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=False).stdout
    return said.split() == [str(part) for part in sys.version_info[:2]]
