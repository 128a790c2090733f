"""A crew of processes, one per piece of work, that never outlive their owner.

Processes come from a fork server that imports what all of them need once. What they make is on disk; all
that comes back is whether they ended well. An owner that is killed takes its processes along: each of them
watches a pipe that only the owner holds open.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from multiprocessing import Pipe, connection, parent_process
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.forkserver import ensure_running
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from sharpen.core.errors import SharpenError
from sharpen.executors.pool import process_context

_ORPHANED = 1


class Ended(NamedTuple):
    """A piece of work that came to its end."""

    key: Any
    """As it was started with."""
    error: SharpenError | None
    """What went wrong, if anything did."""


class Crew(Protocol):
    """Runs functions in processes of their own, at most so many at a time; use as a context manager.

    Leaving the context ends whatever is still at work, in the middle.
    """

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None: ...

    @property
    def free(self) -> bool:
        """Whether another piece of work can be started."""

    @property
    def busy(self) -> bool:
        """Whether any piece of work is under way."""

    def start(self, key: Any, function: Callable[..., object], *arguments: object) -> None:
        """Call a function, importable by name, in a new process; a SharpenError it raises is handed on."""

    def wait(self) -> Ended:
        """Wait until a piece of work ends."""


class LocalCrew:
    """A crew on this machine."""

    def __init__(self, workers: int | None, *, preload: Sequence[str] = ()) -> None:
        """As many workers as there are cores if None.

        `preload` names modules that the fork server imports first, if it is not yet running.
        """
        self._workers = workers or _cores()
        self._context = process_context(preload)
        self._running: dict[Any, tuple[Any, Connection]] = {}

    def __enter__(self) -> LocalCrew:
        if isinstance(self._context, ForkServerContext):
            ensure_running()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        for process, _ in self._running.values():
            process.kill()
        for process, _ in self._running.values():
            process.join()

    @property
    def free(self) -> bool:
        """Whether another piece of work can be started."""
        return len(self._running) < self._workers

    @property
    def busy(self) -> bool:
        """Whether any piece of work is under way."""
        return bool(self._running)

    def start(self, key: Any, function: Callable[..., object], *arguments: object) -> None:
        """Call a function, importable by name, in a new process; a SharpenError it raises is handed on."""
        ours, theirs = Pipe(duplex=False)
        process = self._context.Process(target=_work, args=(theirs, function, arguments))
        process.start()
        theirs.close()
        self._running[key] = (process, ours)

    def wait(self) -> Ended:
        """Wait until a piece of work ends."""
        connection.wait([process.sentinel for process, _ in self._running.values()])
        key = next(key for key, (process, _) in self._running.items() if process.exitcode is not None)
        process, ours = self._running.pop(key)
        process.join()
        with ours:
            return Ended(key, _told(ours, process.exitcode))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _told(ours: Connection, code: int) -> SharpenError | None:
    """What the process said of its end; if it said nothing, how it ended."""
    try:
        said: tuple[str, str] | None = ours.recv()
    except EOFError:
        return SharpenError(_how(code), remedy="the same command goes on from there")
    return SharpenError(said[0], remedy=said[1]) if said else None


def _how(code: int) -> str:
    if code < 0:
        return f"its process was ended by {signal.Signals(-code).name}"
    return f"its process ended with status {code}"


def _work(tell: Connection, function: Callable[..., object], arguments: Sequence[object]) -> None:
    """In the new process."""
    threading.Thread(target=_end_with_owner, daemon=True).start()
    # Interrupts are the owner's to handle: it ends its processes itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        function(*arguments)
    except SharpenError as error:
        tell.send((error.problem, error.remedy))
    else:
        tell.send(None)


def _end_with_owner() -> None:
    owner = parent_process()
    if owner is not None:
        owner.join()
        os._exit(_ORPHANED)
