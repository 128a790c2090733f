"""Warm worker processes with a deadline per item, for judges that may hang, crash or eat memory.

Workers come from a fork server (or are spawned where there is none), so nothing the caller has loaded,
such as torch, is ever forked. Items travel in chunks, which grow while they are quick; results come one by
one. A hung item costs its worker's time until its deadline, a crashed one its worker: others do the rest of
its chunk. No more workers compute at a time than the pool has: only in the stead of one that sleeps over half
of its deadline, as one that waits for what never comes, another one works.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, SpawnContext
from types import TracebackType
from typing import Any, Generic, TypeVar

from sharpen.core.ahead import Begun
from sharpen.executors.worker import Loss as Loss
from sharpen.executors.worker import Lost as Lost
from sharpen.executors.worker import Value as Value
from sharpen.executors.worker import Worker, lost_by

A = TypeVar("A")
R = TypeVar("R")


CHUNK = 16
"""Items that travel together."""
QUICK, MOST_GROWN = 0.02, 64
"""Seconds for a chunk below which the next one is twice as large, and how much larger it may get."""
PARTS = 2
"""Chunks for each worker that what waits must last for: so the last items are not all with one of them."""
FEW, NAP = 8, 0.002
"""While every worker has more items than these before it, the owner sleeps for so many seconds at a time."""
QUIET = 0.01
"""Seconds without a result after which there is time for something else."""


class JudgePool:
    """Worker processes, started on first need and kept warm until the pool is closed.

    Functions must be importable by name and results must be plain data. Not safe to share between threads.
    """

    def __init__(self, *, workers: int = 2, preload: Sequence[str] = ("sharpen.core.task",)) -> None:
        """`preload` names modules that the fork server imports once, for fast starts of workers."""
        self.proven: set[str] = set()
        """Fingerprints of the verifiers whose own cases have passed."""
        self.preload = list(preload)
        """May grow until the first worker is started."""
        self._size = workers
        self._workers: list[Worker] = []
        self._spares: list[Worker] = []
        """Once workers had to be ended, one stands by idly: started while there is nothing else to do."""
        self._killed: list[Worker] = []
        """Those that had to be ended; they are waited for when there is nothing else to do."""
        self._waiting: list[_Work[Any, Any]] = []
        """Work that is not finished, in the order in which it is handed out."""

    def __enter__(self) -> JudgePool:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the workers, whatever they are doing; the pool starts new ones if it is used again."""
        for worker in (*self._workers, *self._spares):
            worker.kill()
            self._killed.append(worker)
            if worker.places:
                worker.work.put_back(worker.places)
        self._workers, self._spares, self._waiting = [], [], []
        self._see_off()

    @property
    def processes(self) -> list[int]:
        """Numbers of the worker processes there are."""
        return [worker.pid for worker in (*self._workers, *self._spares)]

    def map(
        self, function: Callable[[A], R], items: Sequence[A], *, deadline: float, chunk: int = CHUNK
    ) -> list[Value[R] | Lost]:
        """Apply the function to every item, at most `deadline` seconds each; results in item order."""
        return self.begin(function, items, deadline=deadline, chunk=chunk).results()

    def begin(
        self, function: Callable[[A], R], items: Sequence[A], *, deadline: float, chunk: int | None = None
    ) -> Begun[Value[R] | Lost]:
        """`map` in two halves: workers that are idle begin, and the caller asks for the results later.

        By default all items are dealt out. Nobody looks after the workers in between: what is left of the
        share of one that was ended waits until the pool is used again.
        """
        share = -(-len(items) // self._size) or 1
        work = _Work(function, items, deadline, min(chunk or share, share))
        self._waiting.append(work)
        with self._closed_on_error():
            self._look()
            self._hand_out()
        return Begun(partial(self._finish, work), partial(self._drop, work))

    def _finish(self, work: _Work[Any, R]) -> list[Value[R] | Lost]:
        self._waiting = [work, *(other for other in self._waiting if other is not work)]
        work.parts = PARTS * self._size
        with self._closed_on_error():
            self._look()
            while work.left:
                self._hand_out()
                self._collect()
                if all(len(worker.places) > FEW for worker in self._workers):
                    # Results of quick items are taken many at a time: waking up costs more than they do.
                    time.sleep(NAP)
        self._waiting.remove(work)
        return work.results

    def _drop(self, work: _Work[Any, Any]) -> None:
        """Forget about work that was begun, and end the workers that are at it."""
        self._waiting = [other for other in self._waiting if other is not work]
        for worker in [worker for worker in self._workers if worker.places and worker.work is work]:
            self._end(worker)

    @contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        """What workers still do must not be taken for results of the next call."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _hand_out(self) -> None:
        """Give idle workers chunks, as long as there are any."""
        busy = [worker for worker in self._workers if worker.places]
        now = time.monotonic()
        asleep = sum(worker.doubtful <= now and worker.asleep for worker in busy)
        free = self._size + min(asleep, self._size) - len(busy)
        for work in self._waiting:
            while work.places and free > 0:
                free -= self._give(self._idle(), work)

    def _idle(self) -> Worker:
        return next((worker for worker in self._workers if not worker.places), None) or self._start()

    def _give(self, worker: Worker, work: _Work[Any, Any]) -> bool:
        """Whether the worker has taken a chunk of the work."""
        places = work.taken()
        items = [work.items[place] for place in places]
        worker.work = work
        try:
            worker.give(work.function, items, places, work.deadline)
        except OSError:
            # It ended while it had nothing to do; nothing is lost.
            work.put_back(places)
            self._end(worker)
            return False
        return True

    def _collect(self) -> None:
        """Take what comes in until the first deadline; end workers that are over theirs."""
        busy = {worker.connection: worker for worker in self._workers if worker.places}
        now = time.monotonic()
        moments = [moment for worker in busy.values() for moment in (worker.doubtful, worker.due)]
        left = min((moment for moment in moments if moment > now), default=now) - now
        ready = wait(list(busy), timeout=min(left, QUIET) if self._killed else left)
        for connection in ready:
            self._drain(busy[connection])  # type: ignore[index]
        if self._killed and not ready:
            self._see_off()
            self._spares = self._spares or [self._new()]
        now = time.monotonic()
        for worker in [worker for worker in self._workers if worker.places]:
            if worker.due <= now and not worker.connection.poll():
                self._give_up(worker, Lost(Loss.TIMEOUT))

    def _look(self) -> None:
        """Take what is there already."""
        for worker in self._workers[:]:
            self._drain(worker)

    def _drain(self, worker: Worker) -> None:
        """Take what a worker has sent."""
        if not worker.places:
            return
        try:
            for place, result in worker.results():
                worker.work.settle(place, result)
        except (EOFError, OSError):
            self._give_up(worker, None)
            return
        if not worker.places:
            worker.work.learn(time.monotonic() - worker.given)

    def _give_up(self, worker: Worker, lost: Lost | None) -> None:
        """End a worker; its running item is lost, the others of its chunk go to another one."""
        running, *rest = worker.places
        self._end(worker)
        worker.work.settle(running, lost or lost_by(worker.gone()))
        worker.work.put_back(rest)

    def _start(self) -> Worker:
        self._workers.append(self._spares.pop() if self._spares else self._new())
        return self._workers[-1]

    def _new(self) -> Worker:
        return Worker(process_context(self.preload))

    def _end(self, worker: Worker) -> None:
        self._workers.remove(worker)
        worker.kill()
        self._killed.append(worker)

    def _see_off(self) -> None:
        for worker in self._killed:
            worker.gone()
        self._killed = []


class _Work(Generic[A, R]):
    """Items to be done: what is still to be done, and what has come of the rest."""

    def __init__(self, function: Callable[[A], R], items: Sequence[A], deadline: float, chunk: int) -> None:
        self.function, self.items, self.deadline = function, items, deadline
        self.places = deque(range(len(items)))
        self.left = len(items)
        self.parts = 1
        """How many chunks what waits must last for."""
        self._least = self._chunk = chunk
        self._results: list[Value[R] | Lost | None] = [None] * len(items)

    def taken(self) -> list[int]:
        """Places of the next items that travel together."""
        count = min(self._chunk, -(-len(self.places) // self.parts))
        return [self.places.popleft() for _ in range(count)]

    def put_back(self, places: Sequence[int]) -> None:
        """These are to be done first."""
        self.places.extendleft(reversed(places))

    def learn(self, seconds: float) -> None:
        """A chunk took so long: where that is next to nothing, more items travel together."""
        size = (
            2 * self._chunk if seconds < QUICK else self._chunk // 2 if seconds > 2 * QUICK else self._chunk
        )
        self._chunk = min(max(size, self._least), MOST_GROWN * self._least)

    def settle(self, place: int, result: Value[R] | Lost) -> None:
        """Keep an item's result."""
        self._results[place] = result
        self.left -= 1

    @property
    def results(self) -> list[Value[R] | Lost]:
        """All of them, once none is left."""
        return [result for result in self._results if result is not None]


def process_context(preload: Sequence[str]) -> ForkServerContext | SpawnContext:
    """Processes from a fork server that first imports these modules; spawned ones where there is none."""
    if sys.platform == "win32":
        return multiprocessing.get_context("spawn")
    from sharpen.executors.forkserver import worker_context

    return worker_context(preload)
