"""Runs a foreign Python program behind walls and limits, and reports how it ended."""

from __future__ import annotations

import math
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

from pydantic import Field

from sharpen.core.errors import BadInput, Unavailable
from sharpen.core.records import Record
from sharpen.sandbox import landlock, seccomp
from sharpen.sandbox.folder import folder_with, read_kept, size
from sharpen.sandbox.walls import import_paths, require_walls, rules

_LAUNCHER = Path(__file__).with_name("launch.py")
_START = 60.0
"""Seconds a process may take to start and put its walls up, before its own time begins."""
_TICK = 0.05
"""Seconds between looks at what a program uses beyond what the kernel limits."""
_HANDLES = 64
_PIECE = 1 << 16


class Limits(Record):
    """What a program may use."""

    seconds: float = Field(default=5.0, gt=0, le=86_400)
    """Wall-clock time from its first line on."""
    memory: int = Field(default=512 << 20, ge=64 << 20)
    """Bytes of address space."""
    output: int = Field(default=64 << 10, ge=0)
    """Bytes of standard output, and as many of standard error; a program that writes more is stopped."""
    file_bytes: int = Field(default=1 << 20, ge=0)
    """Size of one file."""
    folder_bytes: int = Field(default=32 << 20, ge=0)
    """Size of all its files together, looked at twenty times a second."""
    entries: int = Field(default=1000, ge=0)
    """Files and folders together, looked at twenty times a second."""
    threads: int = Field(default=32, ge=1)
    """Threads, looked at twenty times a second; it cannot start processes."""


class Status(StrEnum):
    """How a program ended."""

    OK = "ok"
    FAILED = "failed"
    """With an exit status other than zero, as after an exception."""
    TIMEOUT = "timeout"
    MEMORY = "memory"
    """It ended because it asked for more memory than allowed."""
    STOPPED = "stopped"
    """It was ended for passing another limit, by a signal, or by an act that is forbidden to it."""


class Ran(Record):
    """What became of a program."""

    status: Status
    stdout: str
    stderr: str
    """Both as UTF-8, with a replacement character for what is not, cut at the limit."""
    exit_code: int
    """Its exit status; minus the number of the signal that ended it."""
    files: Mapping[str, bytes] = Field(default_factory=dict)
    """Of the files asked for those that are there afterwards."""
    reason: str = ""
    """Why it did not end well, in one line."""


def run_python(
    files: Mapping[str, bytes],
    entry: str,
    *,
    stdin: str = "",
    limits: Limits | None = None,
    keep: Sequence[str] = (),
    packages: bool = False,
) -> Ran:
    """Run `files[entry]` as a Python program in a temporary folder with `files`, behind all walls.

    Its environment and arguments are empty, hashes of strings are the same in every run, modules beside the
    entry can be imported, installed packages only with `packages`. `keep` names files to read afterwards.
    Raises Unavailable where a wall is missing or the process cannot start; never for what the program does.
    """
    require_walls()
    limits = limits or Limits()
    if entry not in files:
        raise BadInput("entry", entry, "is not among the files", remedy=f"one of {', '.join(sorted(files))}")
    with folder_with(files) as folder:
        with landlock.ruleset(rules(folder, packages=packages)) as ruleset:
            child, ready = _start(folder, entry, ruleset, limits, import_paths() if packages else ())
        with child:
            watch = _Watch(child, ready, folder, limits)
            try:
                watch.attend(stdin.encode("utf-8", "replace"))
            finally:
                child.kill()
                watch.close()
        return watch.report(read_kept(folder, keep, limits.file_bytes))


def _start(
    folder: Path, entry: str, ruleset: int, limits: Limits, paths: Sequence[str]
) -> tuple[subprocess.Popen[bytes], int]:
    """The process, and the handle on which it says that its walls stand."""
    ready, tell = os.pipe()
    filter_code = seccomp.program(seccomp.machine() or "").hex()
    # Of use only where nobody watches the clock any more: all cores for all of its time.
    processor = math.ceil(limits.seconds * (os.cpu_count() or 1)) + 1
    amounts = (limits.memory, processor, limits.file_bytes, _HANDLES)
    # Everything `-I` does except to forget the hash seed, which keeps runs alike.
    python = (sys.executable, "-sSPB", "-X", "utf8")
    try:
        child = subprocess.Popen(
            [*python, os.fspath(_LAUNCHER), entry, *map(str, (ruleset, tell, filter_code, *amounts)), *paths],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env={"PYTHONHASHSEED": "0"},
            pass_fds=(ruleset, tell),
            start_new_session=True,
            bufsize=0,
        )
    except OSError as error:
        os.close(ready)
        raise Unavailable(f"no process could be started: {error}", remedy="end other processes") from error
    finally:
        os.close(tell)
    return child, ready


class _End(NamedTuple):
    status: Status
    reason: str


class _Watch:
    """Feeds and hears a process, never waits for it beyond its time, never keeps more than its share."""

    def __init__(self, child: subprocess.Popen[bytes], ready: int, folder: Path, limits: Limits) -> None:
        self.child, self.folder, self.limits = child, folder, limits
        self.ready, self.ended = ready, os.pidfd_open(child.pid)
        self.walls_stand = False
        self.heard = {"output": bytearray(), "error": bytearray()}
        self.deadline = time.monotonic() + _START
        self.end: _End | None = None
        self.over = False
        self.selector = selectors.DefaultSelector()

    def attend(self, said: bytes) -> None:
        """Until the process has ended or something ends it."""
        self._listen(said)
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
        self._hear_the_rest()

    def close(self) -> None:
        """Let go of the handles."""
        self.selector.close()
        os.close(self.ended)
        os.close(self.ready)

    def report(self, files: Mapping[str, bytes]) -> Ran:
        """What became of it, after its end."""
        code = self.child.returncode
        out, err = (
            bytes(self.heard[name][: self.limits.output]).decode("utf-8", "replace")
            for name in ("output", "error")
        )
        if not self.walls_stand:
            raise Unavailable(
                f"the sandbox did not start (status {code}): {' '.join(err.split())[-300:]}",
                remedy="`sharpen doctor` says which wall is missing",
            )
        end = self.end or _judge(code, err)
        return Ran(status=end.status, stdout=out, stderr=err, exit_code=code, files=files, reason=end.reason)

    def _listen(self, said: bytes) -> None:
        assert self.child.stdin and self.child.stdout and self.child.stderr
        for stream in (self.child.stdin, self.child.stdout, self.child.stderr):
            os.set_blocking(stream.fileno(), False)
        register = self.selector.register
        register(self.child.stdout, selectors.EVENT_READ, partial(self._hear, self.child.stdout, "output"))
        register(self.child.stderr, selectors.EVENT_READ, partial(self._hear, self.child.stderr, "error"))
        register(self.child.stdin, selectors.EVENT_WRITE, partial(self._say, memoryview(said)))
        register(self.ready, selectors.EVENT_READ, self._begin)
        register(self.ended, selectors.EVENT_READ, self._finish)

    def _begin(self) -> None:
        """The walls stand, or the process has given up; its own time begins."""
        self.walls_stand = os.read(self.ready, 1) == b"!"
        self.selector.unregister(self.ready)
        self.deadline = time.monotonic() + self.limits.seconds

    def _finish(self) -> None:
        self.over = True

    def _say(self, said: memoryview) -> None:
        stream = self.child.stdin
        assert stream is not None
        try:
            said = said[os.write(stream.fileno(), said[:_PIECE]) :] if said else said
        except BlockingIOError:
            return
        except BrokenPipeError:
            said = said[:0]
        if said:
            self.selector.modify(stream, selectors.EVENT_WRITE, partial(self._say, said))
        else:
            self.selector.unregister(stream)
            stream.close()

    def _hear(self, stream: IO[bytes], name: str) -> bool:
        """Read one piece; whether there may be more."""
        try:
            piece = os.read(stream.fileno(), _PIECE)
        except BlockingIOError:
            return False
        if not piece:
            self.selector.unregister(stream)
            return False
        self.heard[name] += piece
        if len(self.heard[name]) > self.limits.output:
            self.end = _End(Status.STOPPED, f"more than {self.limits.output} bytes of standard {name}")
            return False
        return True

    def _hear_the_rest(self) -> None:
        assert self.child.stdout and self.child.stderr
        for stream, name in ((self.child.stdout, "output"), (self.child.stderr, "error")):
            while stream in self.selector.get_map() and self._hear(stream, name):
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
