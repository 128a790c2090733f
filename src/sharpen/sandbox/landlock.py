"""Which files a process may touch: Landlock, the kernel's own sandbox (Linux 5.13 and later).

What is asked of it is worked out here and put on by `launch.py`. docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import ctypes
import struct
import sys
from functools import cache

_CREATE, _GET_ABI = 444, 1
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


def version() -> int:
    """Version of the kernel's interface; 0 where there is none."""
    if not sys.platform.startswith("linux"):
        return 0
    return max(0, int(_libc().syscall(_CREATE, None, ctypes.c_size_t(0), _GET_ABI)))


def known_rights() -> int:
    """All rights on files that the kernel knows; what no rule grants is denied."""
    return (1 << _RIGHTS.get(version(), 16)) - 1


def ruleset() -> bytes:
    """Attributes of a ruleset that handles everything this kernel can."""
    known = version()
    fields = [known_rights(), _TCP, _SCOPES][: 1 + (known >= _TCP_FROM) + (known >= _SCOPES_FROM)]
    return struct.pack(f"={len(fields)}Q", *fields)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
