"""Which process holds a run: what the kernel says of the lock file, not what the file says. Linux only.

Asking for the lock oneself would be another way, but a run that starts at that moment would find it taken.
"""

from __future__ import annotations

import re
from pathlib import Path

_LOCKS = Path("/proc/locks")
_HELD = re.compile(r"^\d+: FLOCK +ADVISORY +WRITE (\d+) \S+:(\d+) ", re.MULTILINE)


class Holders:
    """Who held which lock files at one moment."""

    def __init__(self) -> None:
        """Ask the kernel; nothing is known where it does not tell."""
        text = _LOCKS.read_text(encoding="ascii") if _LOCKS.is_file() else ""
        self._held = {(int(inode), int(pid)) for pid, inode in _HELD.findall(text)}

    def of(self, folder: Path) -> int | None:
        """The process that holds the run in `folder`; None if none does, or it cannot be told.

        The kernel's word and the number written in the file must agree: a number alone may be of a process
        that ended long ago.
        """
        lock = folder / "lock"
        try:
            written = int(lock.read_bytes()[:20] or b"0")
            inode = lock.stat().st_ino
        except (OSError, ValueError):
            return None
        return written if (inode, written) in self._held else None
