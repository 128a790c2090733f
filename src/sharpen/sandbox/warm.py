"""Warm servers: processes without any of our memory that fork a child per program (see launch.py)."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sharpen.core.errors import Unavailable
from sharpen.sandbox import landlock, seccomp
from sharpen.sandbox.backends import DOOR, end, start
from sharpen.sandbox.limits import Backend, Level
from sharpen.sandbox.walls import import_paths, rules, shown

LAUNCHER = Path(__file__).with_name("launch.py")
PATIENCE = 60.0
"""Seconds a server may take to answer."""
REMEDY = "`sharpen doctor` says which wall is missing; `sharpen attack sandbox` tries them all"
_LONGEST = 1 << 16
_TICKS = os.sysconf("SC_CLK_TCK")
_PREFIX, _OWNER = "sharpen-box-", "owner"
_PRELOAD = ("bisect", "collections", "functools", "heapq", "io", "itertools", "math", "re", "typing")


class Kind(NamedTuple):
    """What distinguishes servers."""

    level: Level = Level.WALLED
    packages: bool = False
    backend: Backend = Backend.KERNEL


class Pipes(NamedTuple):
    """Our ends of a program's pipes."""

    stdin: int
    stdout: int
    stderr: int
    result: int
    ready: int


class Order(NamedTuple):
    """What a server is asked to run."""

    folder: Path
    entry: str
    limits: Sequence[int]
    """Bytes of memory, seconds of processor time, bytes of a file, number of handles."""
    result: bool
    """Whether the program gets a pipe for results."""


class Server:
    """One server process; it runs one program at a time."""

    def __init__(self, kind: Kind) -> None:
        """Start it; raises Unavailable if it cannot wall itself in as the kind wants."""
        self.kind = kind
        self.base = Path(tempfile.mkdtemp(prefix=_PREFIX)).resolve()
        self.home = self.base / "home"
        self._owner = os.open(self.base / _OWNER, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
        fcntl.flock(self._owner, fcntl.LOCK_EX)
        self.process: subprocess.Popen[bytes] | None = None
        self._control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            for folder in (self.home, self.base / "root", self.base / DOOR):
                folder.mkdir()
            self._control = self._start()
            self._control.settimeout(PATIENCE)
            self._say(self._walls())
            self.heard()
        except BaseException:
            self.close()
            raise

    def _start(self) -> socket.socket:
        """The process, and the socket on which it listens."""
        if self.kind.backend is Backend.DOCKER:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
                door.bind(os.fspath(self.base / DOOR / "socket"))
                door.listen()
                self._open(os.fspath(self.base / DOOR / "socket"), ())
                return self._entered(door)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._open(str(theirs.fileno()), (theirs.fileno(),))
        return ours

    def _open(self, where: str, handles: Sequence[int]) -> None:
        # Everything `-I` does except to forget the hash seed, which keeps runs alike.
        python = [sys.executable, "-sSPB", "-X", "utf8", os.fspath(LAUNCHER), where]
        started = start(self.kind.backend, python, self.base, self.home)
        try:
            self.process = subprocess.Popen(
                started.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd="/",
                env=started.environment,
                pass_fds=handles,
                start_new_session=True,
            )
        except OSError as error:
            raise Unavailable(
                f"no process could be started: {error}", remedy="end other processes"
            ) from error

    def _entered(self, door: socket.socket) -> socket.socket:
        assert self.process is not None
        door.settimeout(0.5)
        late = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < late:
            with contextlib.suppress(TimeoutError):
                return door.accept()[0]
        raise self._gone()

    def _walls(self) -> dict[str, Any]:
        walled = self.kind.level is not Level.BASE
        allowed = landlock.known_rights() if walled else 0
        paths = rules(self.home, packages=self.kind.packages) if walled else ()
        return {
            "walls": walled,
            "isolate": self.kind.level is Level.ISOLATED and self.kind.backend is Backend.KERNEL,
            "root": os.fspath(self.base / "root"),
            "home": os.fspath(self.home),
            "shown": shown(),
            "ruleset": landlock.ruleset().hex() if walled else "",
            "rules": [(os.fspath(path), rights & allowed) for path, rights in paths],
            "read": landlock.READ & allowed,
            "own": landlock.OWN & allowed,
            "filter": seccomp.program(seccomp.machine() or "").hex() if walled else "",
            "preload": _PRELOAD,
            "paths": import_paths() if self.kind.packages else (),
        }

    def run(self, order: Order) -> Child:
        """Fork a child for a program; the one before must be over."""
        ours, theirs = _pipes()
        said = {
            "folder": os.fspath(order.folder),
            "entry": order.entry,
            "limits": tuple(order.limits),
            "result": order.result,
        }
        try:
            self._say(said, theirs)
            _, handles = self.heard()
        except BaseException:
            _close(ours)
            raise
        finally:
            _close(theirs)
        return Child(self, handles[0], ours)

    def _say(self, said: dict[str, Any], handles: Sequence[int] = ()) -> None:
        try:
            socket.send_fds(self._control, [json.dumps(said).encode()], list(handles))
        except OSError as error:
            raise self._gone() from error

    def heard(self) -> tuple[dict[str, Any], list[int]]:
        """The server's next message and the handles that came with it."""
        try:
            said, handles, _, _ = socket.recv_fds(self._control, _LONGEST, 1)
        except TimeoutError as error:
            raise self._gone(f"the sandbox has not answered in {PATIENCE:g} s") from error
        except OSError as error:
            raise self._gone() from error
        if not said:
            raise self._gone()
        told: dict[str, Any] = json.loads(said)
        if "failed" in told:
            raise Unavailable(f"the level {self.kind.level} is not reached: {told['failed']}", remedy=REMEDY)
        return told, handles

    def _gone(self, what: str = "the sandbox did not start") -> Unavailable:
        """The server has ended or hangs; what it said last."""
        assert self.process is not None and self.process.stderr is not None
        self.process.kill()
        last = self.process.stderr.read()[-300:].decode("utf-8", "replace")
        return Unavailable(": ".join(filter(None, (what, " ".join(last.split())))), remedy=REMEDY)

    def close(self) -> None:
        """End it and all that it runs, and remove its folder."""
        self._control.close()
        if self.process is not None:
            self.process.kill()
            with self.process:
                pass
            end(self.kind.backend, self.base)
        shutil.rmtree(self.base)
        os.close(self._owner)


def remove_orphans() -> None:
    """Remove the folders of servers whose owner was killed; those in use are locked by theirs."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            owner = os.open(folder / _OWNER, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            # Another user's, or one that is just being made.
            continue
        try:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(owner)


class Child:
    """One program: our ends of its pipes, and how to end it."""

    def __init__(self, server: Server, handle: int, pipes: Pipes) -> None:
        self.handle, self.pipes = handle, pipes
        self.code, self.peak = 0, 0
        self._server = server

    @property
    def pid(self) -> int:
        """Its number as we see it, whatever namespace it lives in; -1 when it is over."""
        with open(f"/proc/self/fdinfo/{self.handle}") as facts:
            return next(int(line[4:]) for line in facts if line.startswith("Pid:"))

    def worked(self) -> float:
        """Seconds of processor time it has used; 0 when it is over."""
        try:
            facts = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(facts[11]) + int(facts[12])) / _TICKS

    def end(self) -> None:
        """Kill it if it runs still, with all that it started, and learn how it ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.handle, signal.SIGKILL)
        told, _ = self._server.heard()
        self.code, self.peak = int(told["code"]), int(told["peak"])

    def close(self) -> None:
        """Let go of the handles; a pipe that was closed before is -1."""
        os.close(self.handle)
        _close([pipe for pipe in self.pipes if pipe >= 0])


def _pipes() -> tuple[Pipes, Sequence[int]]:
    pairs = [os.pipe() for _ in Pipes._fields]
    (stdin_read, stdin_write), *rest = pairs
    return Pipes(stdin_write, *(read for read, _ in rest)), [stdin_read, *(write for _, write in rest)]


def _close(handles: Sequence[int]) -> None:
    for handle in handles:
        os.close(handle)


class Yard:
    """The servers of this process that are idle, by kind; a server is taken, used, and given back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: dict[Kind, list[Server]] = {}

    def take(self, kind: Kind) -> Server | None:
        """An idle server of this kind."""
        with self._lock:
            waiting = self._idle.get(kind)
            return waiting.pop() if waiting else None

    def give(self, server: Server) -> None:
        """Keep a server for later."""
        with self._lock:
            self._idle.setdefault(server.kind, []).append(server)

    def idle(self, kind: Kind) -> tuple[Server, ...]:
        """The servers of this kind that wait for work."""
        with self._lock:
            return tuple(self._idle.get(kind, ()))

    def clear(self) -> None:
        """End all servers."""
        with self._lock:
            servers = [server for waiting in self._idle.values() for server in waiting]
            self._idle.clear()
        for server in servers:
            server.close()
