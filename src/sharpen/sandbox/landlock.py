"""Which files a process may touch: Landlock, the kernel's own sandbox (Linux 5.13 and later).

A ruleset is made here and put on in the child by `launch.py`. docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_CREATE, _ADD, _GET_ABI, _BENEATH = 444, 445, 1, 1
_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_FILE = 1 << 4, 1 << 5, 1 << 7, 1 << 8
_MOVE, _TRUNCATE = 1 << 13, 1 << 14
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""Number of rights on files that each version of the interface knows; later ones as the last."""
_TCP_FROM, _SCOPES_FROM = 4, 6
_TCP = 0b11
_SCOPES = 0b11
"""Abstract sockets and signals to processes outside."""

NAMES = _READ_DIR
READ = _READ_FILE | _READ_DIR
OWN = READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_FILE | _MOVE | _TRUNCATE
_ON_A_FILE = _READ_FILE | _WRITE_FILE | _TRUNCATE


def version() -> int:
    """Version of the kernel's interface; 0 where there is none."""
    if not sys.platform.startswith("linux"):
        return 0
    return max(0, int(_libc().syscall(_CREATE, None, ctypes.c_size_t(0), _GET_ABI)))


@contextmanager
def ruleset(rules: Iterable[tuple[Path, int]]) -> Iterator[int]:
    """A handle of a ruleset that allows these rights beneath these paths and nothing else.

    Paths that do not exist are passed over. Raises OSError where the kernel has no Landlock.
    """
    known = version()
    every = (1 << _RIGHTS.get(known, 16)) - 1
    fields = [every, _TCP, _SCOPES][: 1 + (known >= _TCP_FROM) + (known >= _SCOPES_FROM)]
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    handle = _call(_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0)
    try:
        for path, rights in rules:
            _allow(handle, path, rights & every)
        yield handle
    finally:
        os.close(handle)


def _allow(handle: int, path: Path, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return
    try:
        rights &= ~0 if path.is_dir() else _ON_A_FILE
        _call(_ADD, handle, _BENEATH, struct.pack("=Qi", rights, place), 0)
    finally:
        os.close(place)


def _call(number: int, *arguments: object) -> int:
    result = _libc().syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(result)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
