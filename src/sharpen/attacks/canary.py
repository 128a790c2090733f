"""Things that no foreign program may touch, and how one sees from outside that it did."""

from __future__ import annotations

import contextlib
import os
import resource
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

_VICTIM = """
import os, sys, time
kept = bytearray(b"memory-secret-" + sys.stdin.readline().strip().encode())
handle = os.open("secret.txt", os.O_RDONLY)
print("up", flush=True)
time.sleep(100000)
"""
_LIMITS = (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE)
_SHARED = ("/dev/shm", "/dev/mqueue", "/tmp", "/var/tmp", "/run")
_SYSTEM_V = ("/proc/sysvipc/shm", "/proc/sysvipc/sem", "/proc/sysvipc/msg")


class Secrets(NamedTuple):
    """What must not be read, by where it is."""

    file: str
    key: str
    environment: str
    memory: str
    grader: str


class Canary:
    """A folder with secrets, a process, and listeners; `harms` says what happened to them."""

    def __init__(self) -> None:
        self.mark = f"mark-{secrets.token_hex(6)}"
        self.folder = Path(tempfile.mkdtemp(prefix="sharpen-canary-")).resolve()
        self.secrets = Secrets(*(secrets.token_hex(12) for _ in Secrets._fields))
        self._fill()
        self.victim = self._start_victim()
        self.listeners = self._listen()
        self._state = self._look()

    def _fill(self) -> None:
        for folder in (".ssh", "package"):
            (self.folder / folder).mkdir()
        (self.folder / "secret.txt").write_text(self.secrets.file)
        (self.folder / ".ssh/id_rsa").write_text(self.secrets.key)
        (self.folder / "package/grader.py").write_text(f"ANSWER = {self.secrets.grader!r}\n")
        with contextlib.closing(sqlite3.connect(self.folder / "journal.sqlite")) as journal:
            journal.executescript("create table rows (n); insert into rows values (1)")

    def _start_victim(self) -> subprocess.Popen[str]:
        victim = subprocess.Popen(
            [sys.executable, "-S", "-c", _VICTIM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env={"TOKEN": self.secrets.environment},
            start_new_session=True,
        )
        assert victim.stdin and victim.stdout
        victim.stdin.write(self.secrets.memory + "\n")
        victim.stdin.flush()
        victim.stdout.readline()
        return victim

    def _listen(self) -> Mapping[str, socket.socket]:
        kinds: Mapping[str, tuple[int, int, Any]] = {
            "TCP": (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            "UDP": (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            "unix": (socket.AF_UNIX, socket.SOCK_STREAM, str(self.folder / "door")),
            "abstract": (socket.AF_UNIX, socket.SOCK_STREAM, f"\0{self.mark}"),
        }
        found = {}
        for name, (family, kind, address) in kinds.items():
            found[name] = socket.socket(family, kind)
            found[name].bind(address)
            found[name].setblocking(False)
            if kind is socket.SOCK_STREAM:
                found[name].listen()
        return found

    def facts(self, *, harmful: bool) -> str:
        """What a program is told, as the first lines of it."""
        told = {
            "SECRET": str(self.folder / "secret.txt"),
            "OUTSIDE": str(self.folder),
            "PORT": self.listeners["TCP"].getsockname()[1],
            "UDP": self.listeners["UDP"].getsockname()[1],
            "UNIX": str(self.folder / "door"),
            "ABSTRACT": f"\0{self.mark}",
            "VICTIM": self.victim.pid,
            "MARK": self.mark,
            "HARMFUL": harmful,
        }
        lines = [f"{name} = {value!r}\n" for name, value in told.items()]
        return "".join(lines) + _ATTEMPT

    def harms(self) -> list[str]:
        """What was touched since the last look; each is told once."""
        before, self._state = self._state, self._look()
        found = [name for name in before if before[name] != self._state[name]]
        return found + [f"{name} contacted" for name, one in self.listeners.items() if _contacted(one)]

    def leaks(self, text: str) -> list[str]:
        """Which secrets a text holds."""
        found = [name for name, secret in self.secrets._asdict().items() if secret in text]
        return [f"{name} read" for name in found] + ["users read"] * ("root:x:0:0" in text)

    def _look(self) -> Mapping[str, object]:
        return {
            "files changed": {str(path): _state_of(path) for path in self._beneath()},
            "process ended": self.victim.poll(),
            "process stopped or traced": _status(self.victim.pid),
            "process changed": _settings(self.victim.pid),
            "grader changed": _settings(os.getpid()),
            "shared memory": [Path(path).read_text() for path in _SYSTEM_V if Path(path).exists()],
            "marks left": sorted(self._marked()),
            "processes left": sorted(self._processes()),
        }

    def _beneath(self) -> Iterator[Path]:
        yield self.folder
        yield from sorted(self.folder.rglob("*"))

    def _marked(self) -> Iterator[str]:
        for place in (*_SHARED, *sys.path, os.path.dirname(os.__file__)):
            with contextlib.suppress(OSError):
                yield from (f"{place}/{name}" for name in os.listdir(place or ".") if self.mark in name)

    def _processes(self) -> Iterator[int]:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if self.mark.encode() in path.read_bytes():
                    yield int(path.parent.name)

    def close(self) -> None:
        """End the process and what was left, and remove the folder."""
        for process in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        for path in self._marked():
            if path.startswith("/dev/"):
                os.unlink(path)
        self.victim.kill()
        with self.victim:
            pass
        for one in self.listeners.values():
            one.close()
        if self.folder.exists():
            shutil.rmtree(self.folder)


_ATTEMPT = """
def attempt(function, *arguments):
    try:
        print(function(*arguments))
    except BaseException as error:
        print(type(error).__name__)
"""


def _state_of(path: Path) -> object:
    try:
        fact = path.lstat()
    except FileNotFoundError:
        return None
    content = path.read_bytes() if path.is_file() else b""
    return content, fact.st_mode, fact.st_uid, fact.st_gid, fact.st_mtime_ns, fact.st_nlink


def _status(process: int) -> object:
    """Whether it sleeps as it should and nobody traces it, waiting a moment for that."""
    for _ in range(50):
        try:
            lines = Path(f"/proc/{process}/status").read_text().splitlines()
        except OSError:
            return None
        facts = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        state = facts["State"][0], facts["TracerPid"].strip()
        if state[0] not in "RD":
            return state
        time.sleep(0.01)
    return state


def _settings(process: int) -> object:
    try:
        limits = [resource.prlimit(process, kind) for kind in _LIMITS]
        cores = sorted(os.sched_getaffinity(process))
        return os.getpriority(os.PRIO_PROCESS, process), cores, os.sched_getscheduler(process), limits
    except OSError:
        return None


def _contacted(listener: socket.socket) -> bool:
    try:
        if listener.type is socket.SOCK_DGRAM:
            listener.recv(1)
        else:
            listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True
