"""What a foreign program may use, how strong its walls are, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from pydantic import Field

from sharpen.core.records import Record


class Level(StrEnum):
    """How a program is held; each level has all that the ones before it have."""

    BASE = "base"
    """A process of its own: limits, a session of its own, an empty environment, a temporary folder, killed
    with all that it started. It reads the files and reaches the network of whoever runs it."""
    WALLED = "walled"
    """Landlock, seccomp, no privileges: it touches no file but its own and the libraries, reaches no network
    and no other process."""
    ISOLATED = "isolated"
    """Namespaces: other files, processes and networks do not even exist for it."""

    @property
    def rank(self) -> int:
        """Place in the order of strength."""
        return list(Level).index(self)


class Backend(StrEnum):
    """Who makes the namespaces."""

    KERNEL = "kernel"
    """The kernel, asked directly; needs nothing installed."""
    BUBBLEWRAP = "bubblewrap"
    DOCKER = "docker"


class Hold(NamedTuple):
    """How a program is to be held: as well as this machine can, between two levels."""

    least: Level = Level.WALLED
    """Below this nothing is run."""
    most: Level = Level.ISOLATED
    backend: Backend = Backend.KERNEL

    @property
    def levels(self) -> tuple[Level, ...]:
        """What will do, best first."""
        return tuple(one for one in reversed(Level) if self.least.rank <= one.rank <= self.most.rank)


AS_USUAL = Hold()


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
    """What became of a program; made when it is dead."""

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
    level: Level = Level.WALLED
    """How it was held."""
    answers: tuple[str, ...] = ()
    """What it answered to the questions of an exchange, in order, as far as it went."""
    peak: int = 0
    """Bytes of memory it had at most, by the kernel's count; not the same in every run."""
