"""Lets a call of SQLite to the disk fail, where its own tests do: between its pager and the system.

Every file that SQLite opens gets methods of ours, which count and pass on. Structures and codes are those of
sqlite3.h (sqlite.org/c3ref/io_methods.html, sqlite.org/rescode.html); nothing has to be compiled.
"""

from __future__ import annotations

import _sqlite3
import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_LIBRARY = ctypes.CDLL(_sqlite3.__file__)
"""Python's own module: what it is linked with is found through it."""
_ANY, _INT, _LONG = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
CANNOT_OPEN = 14
FAILING = {
    "read": (266, ctypes.CFUNCTYPE(_INT, _ANY, _ANY, _INT, _LONG)),
    "write": (778, ctypes.CFUNCTYPE(_INT, _ANY, _ANY, _INT, _LONG)),
    "truncate": (1546, ctypes.CFUNCTYPE(_INT, _ANY, _LONG)),
    "sync": (1034, ctypes.CFUNCTYPE(_INT, _ANY, _INT)),
    "shm_map": (5386, ctypes.CFUNCTYPE(_INT, _ANY, _INT, _INT, _INT, _ANY)),
}
"""Method -> its code for a failing disk, and its form."""


class _Methods(ctypes.Structure):
    _fields_ = [
        ("version", _INT),
        *((name, _ANY) for name in ("close", "read", "write", "truncate", "sync", "size", "lock", "unlock")),
        *((name, _ANY) for name in ("check_lock", "control", "sector", "device", "shm_map", "shm_lock")),
        *((name, _ANY) for name in ("shm_barrier", "shm_unmap", "fetch", "unfetch")),
    ]


class _File(ctypes.Structure):
    _fields_ = [("methods", ctypes.POINTER(_Methods))]


class _System(ctypes.Structure):
    _fields_ = [
        *((name, _INT) for name in ("version", "size", "longest")),
        *((name, _ANY) for name in ("next", "name", "data", "open")),
    ]


_OPEN = ctypes.CFUNCTYPE(_INT, _ANY, _ANY, ctypes.POINTER(_File), _INT, _ANY)


class _Files:
    """Opens files for SQLite whose methods ask first whether they fail."""

    def __init__(self, opens: Any, fails: Callable[[], bool]) -> None:
        self.opens, self.fails = opens, fails
        self.kept: list[object] = []
        """What SQLite points to until its files are closed."""

    def open(self, system: int, name: int, file: Any, flags: int, out: int) -> int:
        if self.fails():
            file.contents.methods = None
            return CANNOT_OPEN
        code = int(self.opens(system, name, file, flags, out))
        if code == 0:
            file.contents.methods = ctypes.pointer(self._wrapped(file.contents.methods.contents))
        return code

    def _wrapped(self, own: _Methods) -> _Methods:
        ours = _Methods.from_buffer_copy(own)
        for name, (code, form) in FAILING.items():
            # Files that are never locked, such as logs, share no memory.
            if method := getattr(own, name):
                asked = form(self._asking(form(method), code))
                setattr(ours, name, ctypes.cast(asked, _ANY))
                self.kept.append(asked)
        self.kept.append(ours)
        return ours

    def _asking(self, does: Callable[..., int], code: int) -> Callable[..., int]:
        return lambda *arguments: code if self.fails() else does(*arguments)


@contextmanager
def failing_disk(fails: Callable[[], bool]) -> Iterator[None]:
    """While this is open, `fails` is asked at every call of SQLite to the disk whether it is to fail.

    What is opened meanwhile is to be closed before the end.
    """
    find = _LIBRARY.sqlite3_vfs_find
    find.restype = ctypes.POINTER(_System)
    system = find(None).contents
    before = system.open
    files = _Files(_OPEN(before), fails)
    ours = _OPEN(files.open)
    system.open = ctypes.cast(ours, _ANY)
    try:
        yield
    finally:
        system.open = before
        files.kept.append(ours)
