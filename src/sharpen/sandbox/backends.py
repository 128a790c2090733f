"""Other programs that make namespaces around the server: bubblewrap and Docker."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from sharpen.core.errors import Unavailable
from sharpen.sandbox.limits import Backend
from sharpen.sandbox.walls import shown

_BINARY = {Backend.BUBBLEWRAP: "bwrap", Backend.DOCKER: "docker"}
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


def wrapped(backend: Backend, python: Sequence[str], home: Path) -> list[str]:
    """The command that starts the server; its own words where it needs no other program.

    Raises Unavailable where the program of the back end is missing.
    """
    require_installed(backend)
    match backend:
        case Backend.KERNEL:
            return list(python)
        case Backend.BUBBLEWRAP:
            return [*_bubblewrap(home, python), *python]
        case Backend.DOCKER:
            raise Unavailable("x", remedy="x")


def _bubblewrap(home: Path, python: Sequence[str]) -> list[str]:
    words = ["bwrap", "--unshare-all", "--die-with-parent", "--cap-drop", "ALL", "--hostname", "box"]
    for path in map(Path, (*shown(), *_needed(python))):
        if path.is_symlink():
            words += ["--symlink", str(path.readlink()), str(path)]
        elif path.exists():
            words += ["--dev-bind" if path.is_char_device() else "--ro-bind", str(path), str(path)]
    return [*words, "--bind", str(home), str(home), "--chdir", "/", "--"]


def _needed(python: Sequence[str]) -> tuple[str, ...]:
    """What it takes to start Python itself: the interpreter by all its names, its environment, the server."""
    names = [Path(python[0])]
    while names[-1].is_symlink():
        names.append(names[-1].parent / names[-1].readlink())
    settings = names[0].parent.parent / "pyvenv.cfg"
    launcher = next(word for word in python if word.endswith("launch.py"))
    return (*map(str, names), str(settings), launcher)
