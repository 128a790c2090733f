"""Warm worker processes with a deadline per item, for judges that may hang, crash or eat memory.

Workers come from a fork server (or are spawned where there is none), so nothing the caller has loaded,
such as torch, is ever forked. Items travel in chunks. A chunk that does not come back whole is done again
item by item, so that a hung or crashed item costs only itself.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import TimeoutError as DeadlineError
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, Generic, TypeVar

from pebble import ProcessExpired, ProcessFuture, ProcessPool

A = TypeVar("A")
R = TypeVar("R")

DETAIL = 300
"""Most characters of an error message that are kept."""
MEMORY = 4 << 30
"""Bytes of data a worker may hold before it gets a MemoryError."""
PATIENCE = 60.0
"""Seconds beyond all deadlines after which the workers are given up and started anew."""


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


class JudgePool:
    """Worker processes, started on first need and kept warm until the pool is closed.

    Functions must be importable by name and results must be plain data. Not safe to share between threads.
    """

    def __init__(self, *, workers: int = 2, preload: Sequence[str] = ("sharpen.core.task",)) -> None:
        """`preload` names modules that the fork server imports once, for fast starts of workers."""
        self.proven: set[str] = set()
        """Fingerprints of the verifiers whose own cases have passed."""
        self._workers = workers
        self._preload = preload
        self._pool: ProcessPool | None = None

    def __enter__(self) -> JudgePool:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the workers, whatever they are doing; the pool starts new ones if it is used again."""
        if self._pool is not None:
            self._pool.stop()
            self._pool.join()
            self._pool = None

    def map(
        self, function: Callable[[A], R], items: Sequence[A], *, deadline: float, chunk: int = 16
    ) -> list[Value[R] | Lost]:
        """Apply the function to every item, at most `deadline` seconds each; results in item order.

        The deadline also bounds a whole chunk; items of a chunk that runs over it are done again, each
        on its own, and only then counted as lost.
        """
        chunks = [items[start : start + chunk] for start in range(0, len(items), chunk)]
        results: list[Value[R] | Lost] = []
        for part, done in zip(chunks, self._try(function, chunks, deadline), strict=True):
            results += done if isinstance(done, list) else self._singly(function, part, deadline)
        return results

    def _singly(
        self, function: Callable[[A], R], items: Sequence[A], deadline: float
    ) -> list[Value[R] | Lost]:
        """Every item in a message of its own; one that was under way when all workers fell runs alone."""
        results: list[Value[R] | Lost] = []
        singles = [[item] for item in items]
        for single, first in zip(singles, self._try(function, singles, deadline), strict=True):
            [done] = [first] if first is not None else self._try(function, [single], deadline)
            results.append(done[0] if isinstance(done, list) else done or Lost(Loss.CRASH))
        return results

    def _try(
        self, function: Callable[[A], R], chunks: Sequence[Sequence[A]], deadline: float
    ) -> list[list[Value[R] | Lost] | Lost | None]:
        pool = self._running()
        futures = [
            pool.schedule(_work, args=(function, list(chunk), deadline), timeout=deadline) for chunk in chunks
        ]
        longest = len(chunks) * (deadline + 1) + PATIENCE
        return [self._collect(future, longest) for future in futures]

    def _collect(
        self, future: ProcessFuture[list[Value[R] | Lost]], longest: float
    ) -> list[Value[R] | Lost] | Lost | None:
        """The chunk's results, or why it was lost; None if that cannot be pinned on this chunk."""
        try:
            results: list[Value[R] | Lost] = future.result(timeout=longest)
        except ProcessExpired as error:
            return Lost(Loss.CRASH, f"the worker process ended with status {error.exitcode}")
        except (DeadlineError, BrokenProcessPool):
            if future.done() and isinstance(future.exception(), DeadlineError):
                return Lost(Loss.TIMEOUT)
            self.close()
            return None
        return results

    def _running(self) -> ProcessPool:
        if self._pool is not None and not self._pool.active:
            self.close()
        if self._pool is None:
            self._pool = ProcessPool(
                max_workers=self._workers, initializer=_prepare, context=process_context(self._preload)
            )
        return self._pool


def _work(function: Callable[[A], R], items: Sequence[A], deadline: float) -> list[Value[R] | Lost]:
    """In the worker: a chunk. The alarm ends a hung worker whose owner was killed."""
    with _alarm(2 * deadline + 5):
        return [_guarded(function, item) for item in items]


def _guarded(function: Callable[[A], R], item: A) -> Value[R] | Lost:
    try:
        return Value(function(item))
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
    """In a new worker: die at once when told to, even inside C code; spare standard output and memory."""
    os.dup2(sys.stderr.fileno(), 1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def process_context(preload: Sequence[str]) -> Any:
    """Processes from a fork server that first imports these modules; spawned ones where there is none."""
    if sys.platform == "win32":
        return multiprocessing.get_context("spawn")
    from sharpen.executors.forkserver import worker_context

    return worker_context(preload)
