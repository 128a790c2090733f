"""Runs a foreign Python program behind walls and limits, and reports how it ended."""

from __future__ import annotations

import atexit
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache

from sharpen.core.errors import BadInput, Unavailable
from sharpen.sandbox.exchange import Exchange
from sharpen.sandbox.folder import folder_with, read_kept
from sharpen.sandbox.limits import AS_USUAL, Backend, Hold, Level, Limits, Ran, Status
from sharpen.sandbox.probe import require_held
from sharpen.sandbox.walls import missing_walls
from sharpen.sandbox.warm import REMEDY, Kind, Order, Server, Yard, remove_orphans
from sharpen.sandbox.watch import Watch

__all__ = ["Backend", "Hold", "Level", "Limits", "Ran", "Status", "reached", "run_python"]

_HANDLES = 64


def run_python(
    files: Mapping[str, bytes],
    entry: str,
    *,
    stdin: str = "",
    limits: Limits | None = None,
    keep: Sequence[str] = (),
    packages: bool = False,
    exchange: Exchange | None = None,
    hold: Hold = AS_USUAL,
) -> Ran:
    """Run `files[entry]` as a Python program in a temporary folder with `files`, behind all walls.

    Its environment and arguments are empty, hashes of strings are the same in every run, modules beside the
    entry can be imported, installed packages only with `packages`. `keep` names files to read afterwards.
    With an `exchange` its questions take the place of `stdin`, and the program answers on handle 3.
    Raises Unavailable where the level that `hold` asks for is not reached, or an escape attempt at the start
    succeeds, or no process can start; never for what the program does.
    """
    limits = limits or Limits()
    if entry not in files:
        raise BadInput("entry", entry, "is not among the files", remedy=f"one of {', '.join(sorted(files))}")
    with _server(hold, packages) as server, folder_with(files, server.home) as folder:
        # Of use only where nobody watches the clock any more: all cores for all of its time.
        processor = math.ceil(limits.seconds * (os.cpu_count() or 1)) + 1
        amounts = (limits.memory, processor, limits.file_bytes, _HANDLES)
        child = server.run(Order(folder, entry, amounts, exchange is not None))
        watch = Watch(child, folder, limits, exchange)
        try:
            watch.attend(stdin.encode("utf-8", "replace"))
        finally:
            watch.close()
        return watch.report(read_kept(folder, keep, limits.file_bytes), server.kind.level)


def reached(hold: Hold = AS_USUAL) -> Level:
    """The level that programs are held at here; Unavailable where it is below the least that is asked."""
    with _server(hold, False) as server:
        return server.kind.level


@contextmanager
def _server(hold: Hold, packages: bool) -> Iterator[Server]:
    """A warm server that has been tried; it is kept for later unless something went wrong."""
    yard = _yard(os.getpid())
    kinds = [Kind(level, packages, hold.backend) for level in hold.levels]
    server = next(filter(None, map(yard.take, kinds)), None) or _opened(kinds)
    try:
        yield server
    except BaseException:
        server.close()
        raise
    yard.give(server)


def _opened(kinds: Sequence[Kind]) -> Server:
    """A server of the first of these kinds that starts and holds what tries to get out."""
    problems = []
    for kind in kinds:
        lacking = missing_walls() if kind.level is not Level.BASE else ""
        if lacking:
            problems.append(f"{kind.level}: {lacking}")
            continue
        try:
            return _tried(Server(kind))
        except Unavailable as error:
            problems.append(error.problem)
    wanted = kinds[-1].level if kinds else "none"
    raise Unavailable(
        f"code written by models cannot be held here at level {wanted}: {'; '.join(problems)}", remedy=REMEDY
    )


def _tried(server: Server) -> Server:
    try:
        require_held(server)
    except BaseException:
        server.close()
        raise
    return server


@cache
def _yard(process: int) -> Yard:
    """This process's servers; a fork of it has its own."""
    remove_orphans()
    yard = Yard()
    atexit.register(yard.clear)
    return yard
