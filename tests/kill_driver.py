"""Runs a small experiment and kills its own process with SIGKILL at a chosen place.

    python kill_driver.py RECIPE OUT PLACE

PLACE: `row:N` after the N-th new journal row, `progress:N` at the N-th progress call inside an update,
`replace:N` just before the N-th rename of a file, `torn:N` in the middle of the N-th write, or `none`.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from sharpen.core.journal import Entry, Wall
from sharpen.experiment.check_recipe import small_spec
from sharpen.experiment.execute import execute
from sharpen.learners.checkpoint import Checkpoint


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


def main() -> None:
    recipe, out, place = sys.argv[1:4]
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
    execute(small_spec(recipe), Path(out), Listener(countdown))


if __name__ == "__main__":
    main()
