"""Runs a small experiment in a process of its own, which kills itself with SIGKILL at a chosen place.

Processes are forked from a server that has imported everything once.

A place is `row:N` after the N-th new journal row, `progress:N` at the N-th progress call inside an update,
`replace:N` just before the N-th rename of a file, `torn:N` in the middle of the N-th write, or `none`.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from sharpen.core.journal import Entry, Wall
from sharpen.experiment.check_recipe import small_spec
from sharpen.experiment.execute import execute
from sharpen.learners.checkpoint import Checkpoint

IMPORTED_ONCE = (
    "scipy.stats",
    "sharpen.learners.fit",
    "sharpen.models.hf",
    "transformers.models.llama.modeling_llama",
    "transformers.generation.utils",
)
"""What every run imports sooner or later, and takes long to import."""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Countdown:
    def __init__(self, kind: str, count: int) -> None:
        self.kind, self.left = kind, count

    def hit(self, kind: str) -> None:
        if kind == self.kind:
            self.left -= 1
            if self.left == 0:
                die()


class Listener:
    def __init__(self, countdown: Countdown) -> None:
        self.countdown = countdown

    def progress(self, step: str, done: float, total: float, note: str) -> None:
        if step.rsplit("/", 1)[-1].startswith("update"):
            self.countdown.hit("progress")

    def finished(self, entry: Entry, wall: Wall, result: object, *, replayed: bool) -> None:
        if not replayed:
            self.countdown.hit("row")


def run(recipe: str, out: Path, place: str) -> None:
    """The experiment, in the process that may die."""
    os.setsid()
    kind, _, count = place.partition(":")
    countdown = Countdown(kind, int(count or 0))
    replace, write = os.replace, os.fsync

    def counted_replace(source: str, target: str) -> None:
        countdown.hit("replace")
        replace(source, target)

    def counted_sync(handle: int) -> None:
        countdown.hit("torn")
        write(handle)

    Checkpoint.due = lambda self, step: True  # type: ignore[method-assign]  # after every optimizer step
    os.replace, os.fsync = counted_replace, counted_sync  # type: ignore[assignment]
    execute(small_spec(recipe), out, Listener(countdown))


def started(recipe: str, out: Path, place: str = "none") -> ForkServerProcess:
    """The process, running."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*IMPORTED_ONCE, __name__])
    process = context.Process(target=run, args=(recipe, out, place))
    process.start()
    return process


def drive(recipe: str, out: Path, place: str = "none") -> bool:
    """Run to the end; whether it died on the way."""
    process = started(recipe, out, place)
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0
