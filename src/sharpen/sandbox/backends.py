"""Other programs that make namespaces around the server: bubblewrap and Docker."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sharpen.core.errors import Unavailable
from sharpen.sandbox.limits import Backend
from sharpen.sandbox.walls import shown

_BINARY = {Backend.BUBBLEWRAP: "bwrap", Backend.DOCKER: "docker"}
SETTINGS = {"PYTHONHASHSEED": "0"}
DOOR = "door"
"""Folder of the socket, where a handle cannot be passed on."""
_IMAGE = "sharpen-empty"
_INSTALL = {Backend.BUBBLEWRAP: "install bubblewrap", Backend.DOCKER: "install Docker and start its daemon"}


def installed(backend: Backend) -> bool:
    """Whether the program that this back end needs is there."""
    return backend is Backend.KERNEL or shutil.which(_BINARY[backend]) is not None


def require_installed(backend: Backend) -> None:
    """Raises Unavailable where the program is missing."""
    if not installed(backend):
        raise Unavailable(
            f"the sandbox back end {backend} needs `{_BINARY[backend]}`, which is not installed",
            remedy=f"{_INSTALL[backend]}, or use the back end {Backend.KERNEL}",
        )


class Start(NamedTuple):
    """How a server is started."""

    command: Sequence[str]
    environment: Mapping[str, str]


def start(backend: Backend, python: Sequence[str], base: Path, home: Path) -> Start:
    """The command that starts the server in `base`, of which it gets to see `home`.

    Raises Unavailable where the program of the back end is missing or does not work.
    """
    require_installed(backend)
    match backend:
        case Backend.KERNEL:
            return Start(python, SETTINGS)
        case Backend.BUBBLEWRAP:
            return Start([*_bubblewrap(home, python), *python], SETTINGS)
        case Backend.DOCKER:
            _make_image()
            return Start([*_docker(base, home, python), *python], os.environ)


def end(backend: Backend, base: Path) -> None:
    """End what outlives the command."""
    if backend is Backend.DOCKER:
        subprocess.run(["docker", "rm", "--force", base.name], check=False, capture_output=True)


def _bubblewrap(home: Path, python: Sequence[str]) -> list[str]:
    binary = shutil.which("bwrap") or "bwrap"
    words = [binary, "--unshare-all", "--die-with-parent", "--cap-drop", "ALL", "--hostname", "box"]
    for path in map(Path, (*shown(), *_needed(python))):
        if path.is_symlink():
            words += ["--symlink", str(path.readlink()), str(path)]
        elif path.exists():
            words += ["--dev-bind" if path.is_char_device() else "--ro-bind", str(path), str(path)]
    return [*words, "--bind", str(home), str(home), "--chdir", "/", "--"]


def _docker(base: Path, home: Path, python: Sequence[str]) -> list[str]:
    """A container of an empty image, into which the libraries of this machine are shown."""
    words = ["docker", "run", "--rm", "--name", base.name, "--network", "none", "--read-only"]
    words += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--pids-limit", "128"]
    # Docker's own filter knows no Landlock; each program gets a stricter one than it.
    words += ["--security-opt", "seccomp=unconfined", "--user", f"{os.getuid()}:{os.getgid()}"]
    for name, value in SETTINGS.items():
        words += ["--env", f"{name}={value}"]
    for path in (*shown(), *_needed(python)):
        if Path(path).exists() and not path.startswith("/dev/"):
            words += ["--volume", f"{path}:{path}:ro"]
    for own in (home, base / DOOR):
        words += ["--volume", f"{own}:{own}"]
    return [*words, _IMAGE]


def _make_image() -> None:
    """An image without any file, unless it is there."""
    if (
        subprocess.run(["docker", "image", "inspect", _IMAGE], check=False, capture_output=True).returncode
        == 0
    ):
        return
    with tarfile.open(fileobj=(empty := io.BytesIO()), mode="w"):
        pass
    made = subprocess.run(
        ["docker", "import", "-", _IMAGE], check=False, capture_output=True, input=empty.getvalue()
    )
    if made.returncode:
        problem = " ".join(made.stderr.decode("utf-8", "replace").split())[-200:]
        raise Unavailable(f"Docker does not work: {problem}", remedy=_INSTALL[Backend.DOCKER])


def _needed(python: Sequence[str]) -> tuple[str, ...]:
    """What it takes to start Python itself: the interpreter by all its names, its environment, the server."""
    names = [Path(python[0])]
    while names[-1].is_symlink():
        names.append(names[-1].parent / names[-1].readlink())
    settings = names[0].parent.parent / "pyvenv.cfg"
    launcher = next(word for word in python if word.endswith("launch.py"))
    return (*map(str, names), str(settings), launcher)
