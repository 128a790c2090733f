"""Runs a small experiment in a process of its own, which kills itself with SIGKILL at a chosen place.

Or which finds its disk full or failing there, and ends with the status `REFUSED` and one line that says so.

Processes are forked from a server that has imported everything once.

A place is `row:N` after the N-th new journal row, `progress:N` at the N-th progress call inside an update,
`replace:N` just before the N-th rename of a file, `torn:N` in the middle of the N-th write, `replay:N` after
the N-th row that is taken from the journal, `child:N` when the N-th program runs in the sandbox, or `none`;
`group-` before it kills the whole process group. `full:N` and `failing:N` let the N-th sync of a file fail,
`sqlite:N` the N-th call that SQLite makes to the disk.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import sys
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from failing_disk import failing_disk
from sharpen.core.errors import SharpenError
from sharpen.core.journal import Entry, Wall
from sharpen.experiment.check_recipe import small_spec
from sharpen.experiment.execute import execute
from sharpen.learners.checkpoint import Checkpoint
from sharpen.sandbox.warm import Child, Order, Server

IMPORTED_ONCE = (
    "scipy.stats",
    "sharpen.learners.fit",
    "sharpen.models.hf",
    "transformers.models.llama.modeling_llama",
    "transformers.generation.utils",
)
"""What every run imports sooner or later, and takes long to import."""


REFUSED = 3
ERRORS = {"full": errno.ENOSPC, "failing": errno.EIO}


class Countdown:
    def __init__(self, place: str) -> None:
        kind, _, count = place.partition(":")
        self.kind, self.left, self.group = (
            kind.removeprefix("group-"),
            int(count or 0),
            kind.startswith("group-"),
        )

    def hit(self, *kinds: str) -> None:
        if self.kind in kinds:
            self.left -= 1
            if self.left == 0:
                self.strike()

    def fails(self) -> bool:
        """Whether the call that SQLite makes to the disk now is to fail."""
        self.left -= self.kind == "sqlite"
        return self.kind == "sqlite" and self.left == 0

    def strike(self) -> None:
        if self.kind in ERRORS:
            raise OSError(ERRORS[self.kind], os.strerror(ERRORS[self.kind]))
        if self.group:
            os.killpg(os.getpid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


class Listener:
    def __init__(self, countdown: Countdown) -> None:
        self.countdown = countdown

    def progress(self, step: str, done: float, total: float, note: str) -> None:
        if step.rsplit("/", 1)[-1].startswith("update"):
            self.countdown.hit("progress")

    def finished(self, entry: Entry, wall: Wall, result: object, *, replayed: bool) -> None:
        self.countdown.hit("replay" if replayed else "row")


def run(recipe: str, out: Path, place: str) -> None:
    """The experiment, in the process that may die."""
    os.setsid()
    countdown = Countdown(place)
    replace, write, start = os.replace, os.fsync, Server.run

    def counted_replace(source: str, target: str) -> None:
        countdown.hit("replace")
        replace(source, target)

    def counted_sync(handle: int) -> None:
        countdown.hit("torn", *ERRORS)
        write(handle)

    def counted_start(self: Server, order: Order) -> Child:
        child = start(self, order)
        countdown.hit("child")
        return child

    Checkpoint.due = lambda self, step: True  # type: ignore[method-assign]  # after every optimizer step
    os.replace, os.fsync = counted_replace, counted_sync  # type: ignore[assignment]
    Server.run = counted_start  # type: ignore[method-assign]
    try:
        with failing_disk(countdown.fails):
            execute(small_spec(recipe), out, Listener(countdown))
    except SharpenError as error:
        print(error, file=sys.stderr)
        sys.exit(REFUSED if "nothing done is lost" in str(error) else 1)


def started(recipe: str, out: Path, place: str = "none") -> ForkServerProcess:
    """The process, running."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*IMPORTED_ONCE, __name__])
    process = context.Process(target=run, args=(recipe, out, place))
    process.start()
    return process


def drive(recipe: str, out: Path, place: str = "none") -> bool:
    """Run to the end; whether it died, or refused to go on, on the way."""
    process = started(recipe, out, place)
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL, REFUSED)
    return process.exitcode != 0
