"""Attends a program while it runs: feeds it, hears it, ends it when a limit is passed."""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sharpen.core.errors import Unavailable
from sharpen.sandbox.exchange import Exchange
from sharpen.sandbox.folder import size
from sharpen.sandbox.limits import Level, Limits, Ran, Status
from sharpen.sandbox.warm import REMEDY, Child

_START = 60.0
"""Seconds a process may take to start and put its walls up, before its own time begins."""
_TICK = 0.05
"""Seconds between looks at what a program uses beyond what the kernel limits."""
_PIECE = 1 << 16


class _End(NamedTuple):
    status: Status
    reason: str


class Watch:
    """Feeds and hears a program, never waits for it beyond its time, never keeps more than its share."""

    def __init__(self, child: Child, folder: Path, limits: Limits, exchange: Exchange | None) -> None:
        self.child, self.folder, self.limits, self.exchange = child, folder, limits, exchange
        self.pipes = child.pipes
        self.walls_stand = False
        self.heard = {self.pipes.stdout: bytearray(), self.pipes.stderr: bytearray()}
        self.said = memoryview(b"")
        self.deadline = time.monotonic() + _START
        self.worked = 0.0
        """Seconds of processor time it had used when the current question was put."""
        self.end: _End | None = None
        self.over = False
        self.selector = selectors.DefaultSelector()

    def attend(self, said: bytes) -> None:
        """Until the program has ended or something ends it; it is dead afterwards."""
        try:
            self._listen()
            self._say(self.exchange.opening() if self.exchange else said)
            look = 0.0
            while not self.over and self.end is None:
                now = time.monotonic()
                for key, _ in self.selector.select(max(0.0, min(_TICK, self.deadline - now))):
                    key.data()
                if time.monotonic() >= self.deadline and not self.over:
                    self.end = _End(Status.TIMEOUT, f"deadline of {self.limits.seconds:g} s passed")
                elif now >= look:
                    look = now + _TICK
                    self._look()
        finally:
            self.child.end()
        self._hear_the_rest()

    def close(self) -> None:
        """Let go of the handles."""
        self.selector.close()
        self.child.pipes = self.pipes
        self.child.close()

    def report(self, files: Mapping[str, bytes], level: Level) -> Ran:
        """What became of it, after its end."""
        code = self.child.code
        out, err = (
            bytes(heard[: self.limits.output]).decode("utf-8", "replace") for heard in self.heard.values()
        )
        if not self.walls_stand:
            raise Unavailable(
                f"the sandbox did not start (status {code}): {' '.join(err.split())[-300:]}", remedy=REMEDY
            )
        end = self.end or _judge(code, err)
        return Ran(
            status=end.status,
            stdout=out,
            stderr=err,
            exit_code=code,
            files=files,
            reason=end.reason,
            level=level,
            answers=tuple(self.exchange.answers) if self.exchange else (),
            peak=self.child.peak,
        )

    def _listen(self) -> None:
        for pipe in self.pipes:
            os.set_blocking(pipe, False)
        for pipe, hear in (
            (self.pipes.stdout, partial(self._hear, self.pipes.stdout, "output")),
            (self.pipes.stderr, partial(self._hear, self.pipes.stderr, "error")),
            (self.pipes.result, self._answered),
            (self.pipes.ready, self._begin),
            (self.child.handle, self._finish),
        ):
            self.selector.register(pipe, selectors.EVENT_READ, hear)

    def _begin(self) -> None:
        """The walls stand, or the process has given up; its own time begins."""
        self.walls_stand = os.read(self.pipes.ready, 1) == b"!"
        self.selector.unregister(self.pipes.ready)
        self.deadline = time.monotonic() + self.limits.seconds
        self.worked = self.child.worked()

    def _finish(self) -> None:
        self.over = True

    def _answered(self) -> None:
        """A piece of an answer; where it completes one, the next question is put."""
        try:
            piece = os.read(self.pipes.result, _PIECE)
        except BlockingIOError:
            return
        if not piece or self.exchange is None:
            self.selector.unregister(self.pipes.result)
            return
        before = len(self.exchange.answers)
        reply = self.exchange.hear(piece)
        if self.exchange.too_long:
            self.end = _End(Status.STOPPED, "an answer is too long")
        elif len(self.exchange.answers) > before:
            self.worked = self.child.worked()
            self._say(reply)

    def _say(self, said: bytes) -> None:
        """Queue what is to be said; the input ends when there is nothing more to come."""
        if self.pipes.stdin >= 0:
            waiting = len(self.said) > 0 or self.pipes.stdin in self.selector.get_map()
            self.said = memoryview(bytes(self.said) + said)
            if not waiting:
                self.selector.register(self.pipes.stdin, selectors.EVENT_WRITE, self._pour)

    def _pour(self) -> None:
        try:
            if self.said:
                self.said = self.said[os.write(self.pipes.stdin, self.said[:_PIECE]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self.said = self.said[:0]
        if not self.said:
            self.selector.unregister(self.pipes.stdin)
            if self.exchange is None or self.exchange.done:
                os.close(self.pipes.stdin)
                self.pipes = self.pipes._replace(stdin=-1)

    def _hear(self, pipe: int, name: str) -> bool:
        """Read one piece; whether there may be more."""
        try:
            piece = os.read(pipe, _PIECE)
        except BlockingIOError:
            return False
        if not piece:
            self.selector.unregister(pipe)
            return False
        self.heard[pipe] += piece
        if len(self.heard[pipe]) > self.limits.output:
            self.end = _End(Status.STOPPED, f"more than {self.limits.output} bytes of standard {name}")
            return False
        return True

    def _hear_the_rest(self) -> None:
        for pipe, name in ((self.pipes.stdout, "output"), (self.pipes.stderr, "error")):
            while pipe in self.selector.get_map() and self._hear(pipe, name):
                pass

    def _look(self) -> None:
        entries, total = size(self.folder, self.limits.entries)
        try:
            threads = len(os.listdir(f"/proc/{self.child.pid}/task"))
        except OSError:
            threads = 0
        for used, limit, what in (
            (entries, self.limits.entries, "files"),
            (total, self.limits.folder_bytes, "bytes of files"),
            (threads, self.limits.threads, "threads"),
        ):
            if used > limit:
                self.end = _End(Status.STOPPED, f"more than {limit} {what}")
        if self.exchange is not None and not self.exchange.done and self.walls_stand:
            patience = self.exchange.patience
            if self.child.worked() - self.worked > patience:
                self.end = _End(Status.TIMEOUT, f"no answer within {patience:g} s of processor time")


def _judge(code: int, err: str) -> _End:
    """The end of a process that ended by itself; what it says of itself only makes a failure clearer."""
    last = err.rstrip().rsplit("\n", 1)[-1][:300]
    if code == 0:
        return _End(Status.OK, "")
    if code == -signal.SIGXCPU:
        return _End(Status.TIMEOUT, "processor time is used up")
    if code < 0:
        return _End(Status.STOPPED, f"ended by signal {_signal_name(-code)}")
    if last.startswith("MemoryError"):
        return _End(Status.MEMORY, last)
    if last.startswith("PermissionError"):
        return _End(Status.STOPPED, last)
    return _End(Status.FAILED, last or f"exit status {code}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
