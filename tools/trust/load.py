"""T10: a journal of a million rows opens, grows and is read in flat memory; so does a run of many steps.

Ten thousand programs in the sandbox, and workers that crash, leave nothing behind.
"""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import JsonValue

from sharpen.core.journal import Entry, Journal, Wall, _chain, _sealed, read_rows
from sharpen.core.records import canonical
from sharpen.core.run import Run
from sharpen.executors.pool import JudgePool
from sharpen.sandbox.process import _yard, reached, run_python
from sharpen.sandbox.warm import Kind
from trust.processes import descendants, zombies

sys.path.append(str(Path(__file__).parents[2] / "tests"))
from helpers_pool import crash_on_even
from helpers_run import START, KillAfter, engine, loop, task_set

SIZES = (10_000, 100_000, 1_000_000)
APPENDED = 1_000
CRASHES = 200
ROUNDS = 1_000
PROGRAMS, BLOCKS = 1_000, 10
KINDS = (
    "print(1)",
    "1 / 0",
    "import os\nos._exit(3)",
    "import ctypes\nctypes.string_at(1)",
    "import threading, time\nthreading.Thread(target=time.sleep, args=(9,), daemon=True).start()",
)
"""Programs that end in all the ways there are, without waiting."""
WALL = Wall(session="load", elapsed=1.0, seconds=0.5, model_seconds=0.25)
FLAT = 1.05
"""Most that the last thousand appends may add to a process's memory."""


def entry(number: int) -> Entry:
    """A row as runs write them."""
    return Entry(key=f"round.{number}/judge/0", verb="judge", inputs="0" * 64, blob=f"{number:064}")


def filled(folder: Path, rows: int) -> None:
    """A journal of so many rows, chained as a run does it, but written in one go."""
    Journal(folder).close()
    with closing(sqlite3.connect(folder / "journal.sqlite")) as database, database:
        database.executemany("INSERT INTO rows (key, body, hash, wall) VALUES (?, ?, ?, ?)", _rows(rows))


def _rows(count: int) -> Iterator[tuple[str, str, str, str]]:
    head = ""
    for number in range(count):
        body = canonical(entry(number)).decode()
        head = _chain(head, body)
        yield entry(number).key, body, head, _sealed(WALL, head)


def memory() -> float:
    """Megabytes that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def measured(folder: Path) -> dict[str, JsonValue]:
    """Open a journal, append to it, look rows up, read it through."""
    files, began = len(os.listdir("/proc/self/fd")), time.perf_counter()
    journal = Journal(folder)
    opened, held, rows = time.perf_counter() - began, memory(), sum(1 for _ in journal)
    began = time.perf_counter()
    for number in range(rows, rows + APPENDED):
        journal.append(entry(number), WALL)
    appended, after = time.perf_counter() - began, memory()
    began = time.perf_counter()
    found = [journal.get(entry(number * 7 % rows).key) is not None for number in range(APPENDED)]
    looked = time.perf_counter() - began
    journal.close()
    began = time.perf_counter()
    read = sum(1 for _ in read_rows(folder))
    return {
        "open s": round(opened, 2),
        "append ms": round(1e3 * appended / APPENDED, 3),
        "look up ms": round(1e3 * looked / APPENDED, 3),
        "read through s": round(time.perf_counter() - began, 2),
        "MB": round(after, 1),
        "files left open": len(os.listdir("/proc/self/fd")) - files,
        "ok": all(found) and read == rows + APPENDED and after <= FLAT * held,
    }


def crashed() -> dict[str, JsonValue]:
    """Workers that crash leave neither zombies nor open files."""
    with JudgePool() as pool:
        pool.map(abs, [1], deadline=60)
        files = len(os.listdir("/proc/self/fd"))
        pool.map(crash_on_even, range(1, 2 * CRASHES, 2), deadline=10)
        lost = pool.map(crash_on_even, range(0, CRASHES, 2), deadline=10)
        more = len(os.listdir("/proc/self/fd")) - files
    return {
        "crashes": len(lost),
        "zombies": zombies(),
        "files left open": more,
        "ok": not zombies() and more < 10,
    }


def sandboxed() -> dict[str, JsonValue]:
    """Programs in the sandbox leave neither processes nor files, open or on disk."""
    before = _left()
    for number in range(PROGRAMS):
        run_python({"a.py": KINDS[number % len(KINDS)].encode()}, "a.py")
        if number == PROGRAMS // 10:
            before = _left()
    after = _left()
    return {
        "programs": PROGRAMS,
        "zombies": zombies(),
        "left behind": [round(now - then, 1) for now, then in zip(after, before, strict=True)],
        "ok": not zombies() and after[:-1] <= before[:-1] and after[-1] <= FLAT * before[-1],
    }


def _left() -> list[float]:
    """Open files, folders of programs, processes, megabytes."""
    servers = _yard(os.getpid()).idle(Kind(reached()))
    folders = sum(len(os.listdir(server.home)) for server in servers)
    return [len(os.listdir("/proc/self/fd")), folders, len(descendants()), memory()]


class Scales(KillAfter):
    """Weighs the process as its rows come in."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[float] = []

    def finished(self, entry: Entry, wall: Wall, result: object, *, replayed: bool) -> None:
        """One more row."""
        super().finished(entry, wall, result, replayed=replayed)
        if self.new % 100 == 0:
            self.weights.append(memory())


def long_run() -> dict[str, JsonValue]:
    """What a run of many steps holds at a fifth of it, and at its end."""
    scales = Scales()
    with TemporaryDirectory() as place:
        made = engine(Path(place), scales)
        loop(Run(made), task_set(), START, rounds=ROUNDS)
        made.journal.close()
    early, late = scales.weights[len(scales.weights) // 5], scales.weights[-1]
    held: dict[str, JsonValue] = {"MB early": round(early, 1), "MB late": round(late, 1)}
    return {"steps": scales.new, **held, "ok": late <= FLAT * early}


def units() -> list[str]:
    """Names of all units."""
    programs = [f"{PROGRAMS:,} programs #{block}" for block in range(BLOCKS)]
    return [*(f"{rows:,} rows" for rows in SIZES), "a long run", "crashing workers", *programs]


def work(unit: str) -> dict[str, JsonValue]:
    """Measure one size in a process of its own."""
    if unit == "crashing workers":
        return crashed()
    if unit == "a long run":
        return long_run()
    if "programs" in unit:
        return sandboxed()
    with TemporaryDirectory() as place:
        filled(Path(place), int(unit.split()[0].replace(",", "")))
        program = "import sys; from trust import load; load.main(sys.argv[1])"
        done = subprocess.run(
            [sys.executable, "-c", program, place], capture_output=True, text=True, check=True
        )
    facts: dict[str, JsonValue] = json.loads(done.stdout)
    return facts


def main(folder: str) -> None:
    """In that process."""
    print(json.dumps(measured(Path(folder))))


def table(rows: Mapping[str, Mapping[str, JsonValue]]) -> list[str]:
    """What was measured, in Markdown."""
    sizes = {unit: row for unit, row in rows.items() if unit.endswith("rows")}
    names = [name for name in next(iter(sizes.values()), {}) if name not in NOT_SHOWN]
    lines = [f"| journal of | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"] if sizes else []
    lines += [f"| {unit} | {' | '.join(str(row[n]) for n in names)} |" for unit, row in sizes.items()]
    crash = rows.get("crashing workers")
    told = [f"After {crash['crashes']} crashes of workers: {crash['zombies']} zombies."] if crash else []
    if run := rows.get("a long run"):
        held = f"{run['MB early']} MB at a fifth of it, {run['MB late']} MB at its end"
        told.append(f"A run of {run['steps']:,} steps: {held}.")
    if blocks := [row for unit, row in rows.items() if "programs" in unit]:
        many, dead = (sum(int(str(row[name])) for row in blocks) for name in ("programs", "zombies"))
        clean = "nothing" if all(row["ok"] for row in blocks) else "something"
        told.append(f"After {many:,} programs in the sandbox: {dead} zombies, {clean} left behind.")
    return [*lines, "", *told]


NOT_SHOWN = frozenset({"ok", "date", "commit", "seconds"})
