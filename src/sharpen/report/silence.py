"""Says what a run waits for when nothing has been heard of it for a while.

A disk, a server or a model that stands still makes no error. A thread of its own looks, without stopping
anything, at which of our modules the silent thread is in, and names it.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

FIRST = 60.0
"""Seconds of silence after which it is said for the first time; then each time after twice as long."""
_NAMES = {
    "sharpen.core.journal": "the disk",
    "sharpen.core.artifact": "the disk",
    "sharpen.models": "the model",
    "sharpen.learners": "training",
    "sharpen.executors.ray": "the cluster",
    "sharpen.executors": "the judges",
    "sharpen.sandbox": "a program in the sandbox",
}


class Silence:
    """Watches the thread that makes it; use as a context manager, and call `heard` at any sign of life."""

    def __init__(self, told: Callable[[str], None], *, first: float = FIRST) -> None:
        """`told` gets a line such as `60 s for the disk (core/journal.py)`, in the watching thread."""
        self._told, self._first = told, first
        self._watched = threading.get_ident()
        self._over = threading.Event()
        self._since = time.monotonic()
        self._thread = threading.Thread(target=self._watch, name="silence", daemon=True)

    def __enter__(self) -> Silence:
        self.heard()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def heard(self) -> None:
        """The run lives."""
        self._since = time.monotonic()

    def _watch(self) -> None:
        due = self._first
        while not self._over.wait(max(0.01, self._since + due - time.monotonic())):
            silent = time.monotonic() - self._since
            if silent < self._first:
                due = self._first
            elif silent >= due:
                self._told(f"{silent:.0f} s {place_of(sys._current_frames().get(self._watched))}".rstrip())
                due *= 2


def place_of(frame: FrameType | None) -> str:
    """What is waited for in a frame: its innermost module of ours, and in words where there are any."""
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith("sharpen."):
            file = f"({module.removeprefix('sharpen.').replace('.', '/')}.py)"
            name = next((name for prefix, name in _NAMES.items() if module.startswith(prefix)), "")
            return f"for {name} {file}" if name else file
        frame = frame.f_back
    return ""
