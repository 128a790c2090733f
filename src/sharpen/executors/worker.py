"""A worker process of the judge pool, seen from both ends.

The worker writes every result as soon as it has it, so its owner always knows which item it is at and since
when, and no result is lost with a worker that is ended. The owner reads at once whatever has come: to take
quick results one by one would cost more than they do. A worker whose owner is gone ends by itself.
"""

from __future__ import annotations

import os
import pickle
import signal
import struct
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any, Generic, TypeVar

A = TypeVar("A")
R = TypeVar("R")

DETAIL = 300
"""Most characters of an error message that are kept."""
MEMORY = 4 << 30
"""Bytes of data a worker may hold before it gets a MemoryError."""
GRACE = 2.0
"""Seconds over its deadline after which a worker ends itself."""
START_SECONDS = 60.0
"""How long a worker may take to start and to import what it is to do; no item's deadline runs meanwhile."""
_SIZE = struct.Struct("!I")
"""Stands before a message: how long it is."""
_PIECE = 1 << 18
"""Most bytes that are read at once."""


class Loss(StrEnum):
    """Why an item has no value."""

    RAISED = "raised"
    """The function raised."""
    TIMEOUT = "timeout"
    """The function was stopped at its deadline."""
    CRASH = "crash"
    """The process ended while it held the item."""


@dataclass(frozen=True)
class Value(Generic[R]):
    """What the function returned."""

    value: R


@dataclass(frozen=True)
class Lost:
    """The item has no value."""

    loss: Loss
    detail: str = ""


_Word = tuple[Any] | Lost | None
"""What a worker says: a value, which travels at a third of a record's cost, that there is none, or that it
begins."""


class Worker:
    """The owner's end: one process, at most one chunk of items under way."""

    def __init__(self, context: BaseContext) -> None:
        """Start the process; it is ready when it first says so."""
        ours, theirs = context.Pipe()
        self.connection: Connection[Any, Any] = ours
        self.places: deque[int] = deque()
        """Places of the items under way, that of the running one first."""
        self.work: Any = None
        """What the items belong to."""
        self.deadline = 0.0
        self.given = self.due = 0.0
        """When the chunk was handed over, and when the running item must be done."""
        self._unread = bytearray()
        """The beginning of a message whose end is still to come."""
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)  # type: ignore[attr-defined]
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        """Number of the process, and of the group of processes that it leads."""
        return int(self._process.pid)

    @property
    def doubtful(self) -> float:
        """When the running item has had half of its time."""
        return self.due - self.deadline / 2

    @property
    def asleep(self) -> bool:
        """Whether the process waits for something and computes nothing; False where that cannot be told."""
        try:
            facts = Path(f"/proc/{self.pid}/stat").read_text()
        except OSError:
            return False
        return facts.rpartition(")")[2].split()[0] == "S"

    def give(
        self, function: Callable[[A], R], items: Sequence[A], places: list[int], deadline: float
    ) -> None:
        """Hand over a chunk of items; OSError if the process is gone."""
        self.places, self.deadline = deque(places), deadline
        self.given = time.monotonic()
        self.due = self.given + START_SECONDS + deadline
        self.connection.send((function, items, deadline))

    def results(self) -> Iterator[tuple[int, Value[Any] | Lost]]:
        """All that has come by now, with its places; then EOFError or OSError if the process has ended."""
        while self.places and self.connection.poll():
            piece = os.read(self.connection.fileno(), _PIECE)
            if not piece:
                raise EOFError
            self._unread += piece
            for word in self._words():
                self.due = time.monotonic() + self.deadline
                if word is not None:
                    yield self.places.popleft(), Value(*word) if isinstance(word, tuple) else word

    def _words(self) -> Iterator[_Word]:
        """The messages that are whole."""
        start = 0
        while len(self._unread) >= (body := start + _SIZE.size):
            (size,) = _SIZE.unpack_from(self._unread, start)
            if len(self._unread) < body + size:
                break
            start = body + size
            yield pickle.loads(self._unread[body:start])
        del self._unread[:start]

    def kill(self) -> None:
        """End it with everything that it has started; `gone` waits until it is."""
        if self._process.exitcode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self.connection.close()

    def gone(self) -> int | None:
        """Wait for a process that has ended or was killed; its exit status, negative for a signal."""
        self._process.join()
        return self._process.exitcode  # type: ignore[no-any-return]


def _serve(connection: Connection[Any, Any]) -> None:
    """In the worker: chunk after chunk until the owner is gone."""
    _prepare()
    with suppress(EOFError, ConnectionError):
        while True:
            function, items, deadline = connection.recv()
            _say(connection, None)
            for item in items:
                began = time.monotonic()
                # The alarm ends a hung worker whose owner was killed, or does not look after it for a while.
                with _alarm(deadline + GRACE):
                    word = _guarded(function, item)
                late = time.monotonic() - began > deadline
                _say(connection, Lost(Loss.TIMEOUT) if late else word)


def _say(connection: Connection[Any, Any], word: _Word) -> None:
    data = pickle.dumps(word, pickle.HIGHEST_PROTOCOL)
    left = memoryview(_SIZE.pack(len(data)) + data)
    while left:
        left = left[os.write(connection.fileno(), left) :]


def lost_by(status: int | None) -> Lost:
    """Why an item has no value whose worker ended with a status."""
    if hasattr(signal, "SIGALRM") and status == -signal.SIGALRM:
        return Lost(Loss.TIMEOUT)
    return Lost(Loss.CRASH, f"the worker process ended with status {status}")


def _guarded(function: Callable[[A], R], item: A) -> tuple[R] | Lost:
    try:
        return (function(item),)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # foreign code raises anything; it is reported
        text = " ".join(str(error).split())[:DETAIL]
        return Lost(Loss.RAISED, f"{type(error).__name__}: {text}" if text else type(error).__name__)


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    if not hasattr(signal, "setitimer"):
        yield
        return
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _prepare() -> None:
    """Lead a group of processes; spare standard output, memory and the owner's interrupts."""
    os.dup2(sys.stderr.fileno(), 1)
    if hasattr(os, "setsid"):
        os.setsid()
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
