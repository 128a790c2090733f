"""Which walls this machine can put around a foreign program, and where the program may read."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from sharpen.core.records import Record
from sharpen.sandbox import landlock, seccomp

_SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/etc/localtime")
_ALSO = ("/usr/share/zoneinfo", "/dev/urandom", "/dev/random", "/dev/zero")
_NOWHERE = "/dev/null"
_PACKAGES = ("site-packages", "dist-packages")


class Protection(Record):
    """One wall."""

    name: str
    stands: bool
    detail: str
    """What it holds back, or why it does not stand."""


def protections() -> tuple[Protection, ...]:
    """The walls of this machine; foreign code is run only where all of them stand."""
    linux = sys.platform.startswith("linux")
    version, machine = landlock.version(), seccomp.machine() if linux else None
    return (
        Protection(
            name="files",
            stands=version > 0,
            detail=f"Landlock {version}" if version else "the kernel has no Landlock, or it is switched off",
        ),
        Protection(
            name="acts",
            stands=machine is not None,
            detail=f"seccomp for {machine}" if machine else "no system call filter for this machine",
        ),
        Protection(name="amounts", stands=linux, detail="resource limits" if linux else "not on this system"),
    )


def missing_walls() -> str:
    """What this machine lacks for the level `walled`, in one line; empty where nothing is missing."""
    return "; ".join(wall.detail for wall in protections() if not wall.stands)


def rules(folder: Path, *, packages: bool) -> Iterator[tuple[Path, int]]:
    """Landlock rules of programs whose own place is `folder`."""
    yield folder, landlock.OWN
    yield Path(_NOWHERE), landlock.OWN
    for place in (*_SYSTEM, *_ALSO):
        yield Path(place), landlock.READ
    library = Path(sysconfig.get_path("stdlib"))
    yield library, landlock.NAMES
    for entry in library.iterdir():
        if entry.name not in _PACKAGES:
            yield entry, landlock.READ
    for shared in library.parent.glob("lib*.so*"):
        yield shared, landlock.READ
    for path in import_paths() if packages else ():
        yield Path(path), landlock.READ


def shown() -> tuple[str, ...]:
    """What exists for a program in a world of its own."""
    library = Path(sysconfig.get_path("stdlib"))
    shared = sorted(map(str, library.parent.glob("lib*.so*")))
    return (*_SYSTEM, *_ALSO, _NOWHERE, str(library), *shared, *import_paths())


def import_paths() -> tuple[str, ...]:
    """Where installed packages lie."""
    return tuple(dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))))
