"""The processes that come from this one, as the kernel lists them. Linux only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple


class Process(NamedTuple):
    """One process."""

    state: str
    """Z for one that has ended and was not waited for."""
    parent: int
    session: int


def processes() -> Mapping[int, Process]:
    """All there are."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent, _, session = stat.read_text().rpartition(")")[2].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue
        found[int(stat.parent.name)] = Process(state, int(parent), int(session))
    return found


def descendants() -> Mapping[int, Process]:
    """Those that this process started, and those that they did."""
    known, family = processes(), {os.getpid()}
    while more := {pid for pid, one in known.items() if one.parent in family} - family:
        family |= more
    return {pid: known[pid] for pid in family if pid in known and pid != os.getpid()}


def zombies() -> int:
    """How many of them have ended and were never waited for."""
    return sum(one.state == "Z" for one in descendants().values())
