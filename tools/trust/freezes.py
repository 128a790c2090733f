"""T11: whatever stands still is given up at its deadline and named; a run that is told to stop stops."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from unittest.mock import patch

from pydantic import JsonValue

from sharpen.core.artifact import ArtifactStore
from sharpen.core.errors import Busy, SharpenError
from sharpen.core.journal import Journal, read_rows
from sharpen.core.policy import Decoding
from sharpen.executors import ray_pool
from sharpen.executors.pool import JudgePool, Lost
from sharpen.executors.source import open_pool
from sharpen.models.base import Prompt
from sharpen.models.openai import open_openai
from sharpen.report.silence import Silence
from sharpen.sandbox import warm
from sharpen.sandbox.process import Limits, _yard, reached, run_python
from sharpen.sandbox.warm import Kind
from trust.processes import descendants

sys.path.append(str(Path(__file__).parents[2] / "tests"))
from helpers_pool import stand_still_on_2
from helpers_run import contents
from kill_driver import drive, started

DEADLINE = 1.0
GRACE = 5.0
"""Seconds after a deadline, or after a signal, within which it must be over."""


class Ended(NamedTuple):
    """How it ended."""

    said: str
    seconds: float
    named: bool


def judge_worker() -> Ended:
    """A worker that stops itself while it judges."""
    with JudgePool(workers=1) as pool:
        pool.map(abs, [1], deadline=60)
        began = time.monotonic()
        done = pool.map(stand_still_on_2, range(4), deadline=DEADLINE, chunk=1)
        seconds = time.monotonic() - began
    lost = [item for item in done if isinstance(item, Lost)]
    return Ended(" ".join(item.loss for item in lost), seconds, [item.loss for item in lost] == ["timeout"])


def sandboxed_program() -> Ended:
    """A program in the sandbox that only sleeps."""
    began = time.monotonic()
    ran = run_python({"a.py": b"import time\ntime.sleep(1e6)\n"}, "a.py", limits=Limits(seconds=DEADLINE))
    return Ended(f"{ran.status}: {ran.reason}", time.monotonic() - began, ran.status == "timeout")


def sandbox_server() -> Ended:
    """The process that forks a child for every program, stopped before it is asked for one."""
    with patch.object(warm, "PATIENCE", DEADLINE):
        yard = _yard(os.getpid())
        yard.clear()
        level = reached()
        [server] = yard.idle(Kind(level))
        assert server.process is not None
        os.kill(server.process.pid, signal.SIGSTOP)
        began = time.monotonic()
        try:
            said, named = run_python({"a.py": b"print(1)"}, "a.py").stdout, False
        except SharpenError as error:
            said, named = str(error), "sandbox" in str(error) and "answered" in str(error)
        return Ended(said, time.monotonic() - began, named)


def ray_worker() -> Ended:
    """The workers of a Ray cluster that was started here, stopped before they are given work."""
    if find_spec("ray") is None:
        return Ended("not tried: ray is not installed", 0.0, True)
    # A cluster's workers find modules as this process's environment says.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    with patch.multiple(ray_pool, RETRIES=0, _PATIENCE=0.0), open_pool("ray") as pool:
        pool.map(abs, [1], deadline=60)
        for pid in descendants():
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::"):
                os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        try:
            said, named = str(pool.map(abs, [1], deadline=DEADLINE)), False
        except SharpenError as error:
            said, named = str(error), "Ray cluster has not finished" in str(error)
        return Ended(said, time.monotonic() - began, named)


def disk() -> Ended:
    """A disk that takes seconds for a sync, while a file is stored."""
    said: list[tuple[str, float]] = []

    def told(text: str) -> None:
        said.append((text, time.monotonic()))

    with TemporaryDirectory() as place, patch.object(os, "fsync", lambda _: time.sleep(2 * DEADLINE)):
        began = time.monotonic()
        with Silence(told, first=DEADLINE):
            ArtifactStore(Path(place)).put(b"x")
    first, when = said[0] if said else ("for nothing", time.monotonic())
    return Ended(
        f"waiting {first}; it goes on as soon as the disk does", when - began, "for the disk" in first
    )


def endpoint() -> Ended:
    """A model's server that takes every connection and never answers."""
    os.environ.setdefault("OPENAI_API_KEY", "none")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        began = time.monotonic()
        try:
            model = open_openai(f"m@http://{address}/v1?timeout={DEADLINE:g}&retries=0")
            model.sample([Prompt("hello", (1,))], Decoding(max_tokens=1))
        except SharpenError as error:
            return Ended(str(error), time.monotonic() - began, address in str(error))
    return Ended("an answer", time.monotonic() - began, False)


def other_process() -> Ended:
    """A run whose process was stopped with the journal open."""
    with TemporaryDirectory() as place:
        folder = Path(place) / "run"
        process = _begun(folder)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGSTOP)
        began = time.monotonic()
        try:
            Journal(folder).close()
            said, named = "opened", False
        except Busy as error:
            said, named = str(error).replace(place, ""), str(process.pid) in str(error)
        seconds = time.monotonic() - began
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
    return Ended(said, seconds, named)


def signalled(which: signal.Signals) -> Ended:
    """A run that is asked to stop, and then goes on to the same bytes."""
    with TemporaryDirectory() as place:
        folder, calm = Path(place) / "run", Path(place) / "calm"
        process = _begun(folder)
        assert process.pid is not None
        began = time.monotonic()
        os.kill(process.pid, which)
        process.join()
        seconds = time.monotonic() - began
        drive("star", folder)
        drive("star", calm)
        same = contents(folder) == contents(calm)
    return Ended(f"status {process.exitcode}, then {'equal' if same else 'other'} bytes", seconds, same)


def _begun(folder: Path):  # type: ignore[no-untyped-def]  # noqa: ANN202  # the class has no public name
    process = started("star", folder)
    while process.is_alive() and not (folder / "journal.sqlite").is_file():
        time.sleep(0.02)
    while process.is_alive() and len(list(read_rows(folder))) < 3:
        time.sleep(0.02)
    return process


FREEZES: Mapping[str, Callable[[], Ended]] = {
    "a judge's worker, stopped": judge_worker,
    "a program in the sandbox, asleep": sandboxed_program,
    "the sandbox's server, stopped": sandbox_server,
    "a Ray worker, stopped": ray_worker,
    "a model's server, silent": endpoint,
    "a disk, at a sync": disk,
    "another process, stopped with the run open": other_process,
    "the run itself, at SIGINT": lambda: signalled(signal.SIGINT),
    "the run itself, at SIGTERM": lambda: signalled(signal.SIGTERM),
}
TRIES = {
    "a judge's worker, stopped": 2,
    "a program in the sandbox, asleep": 1,
    "the sandbox's server, stopped": 1,
    "a Ray worker, stopped": 2,
    "a model's server, silent": 1,
    "a disk, at a sync": 1,
}
"""How often it is tried before it is given up; what is not here has no deadline to wait for."""


def units() -> list[str]:
    """Names of all units."""
    return list(FREEZES)


def work(unit: str) -> dict[str, JsonValue]:
    """Let one thing stand still."""
    ended = FREEZES[unit]()
    tries = TRIES.get(unit, 0)
    late = ended.seconds > max(1, tries) * GRACE + tries * DEADLINE
    return {"said": ended.said[:200], "after": round(ended.seconds, 2), "ok": ended.named and not late}


def table(rows: Mapping[str, Mapping[str, JsonValue]]) -> list[str]:
    """What was said, and after how long, in Markdown."""
    lines = ["| what stands still, or is told to stop | ended after | said |", "|---|---|---|"]
    for unit, row in rows.items():
        lines.append(f"| {unit} | {row['after']} s | {str(row['said']).replace('|', '/')} |")
    return lines
