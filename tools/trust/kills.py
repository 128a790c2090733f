"""T1: kill -9, torn tails, full and failing disks, anywhere; the same command again ends in the same bytes.

A unit is a number of kills, spread by chance over small runs of a recipe that improves weights, a memory,
programs or skills. Between two kills the tail of the journal's log may be cut, as a power loss can leave it.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory, gettempdir

from pydantic import JsonValue

from sharpen.core.journal import read_rows
from sharpen.core.seeds import random_for
from sharpen.experiment.manifest import code_fingerprint
from trust.processes import processes

sys.path.append(str(Path(__file__).parents[2] / "tests"))
from helpers_run import contents
from kill_driver import ERRORS, REFUSED, started

RECIPES = {"weights": "star", "memory": "evolver", "program": "hyperagents", "skills": "memento_skills"}
KINDS = {
    "row": 12,
    "group-row": 12,
    "torn": 30,
    "group-torn": 30,
    "replace": 20,
    "replay": 30,
    "group-replay": 30,
    "progress": 2,
    "child": 12,
    "group-child": 12,
    "full": 30,
    "failing": 30,
    "sqlite": 200,
}
"""Kind of place -> most of its events that are let pass."""
CUTS = ("", "", "1", "half", "all but 1")
"""How much of the last frame of the log is cut off after a kill."""
FRAME = 24 + 4096
KILLS, UNITS = 4, 20
GONE = 20.0
"""Seconds after which a process of a killed run counts as left behind."""


def reference(recipe: str) -> Path:
    """The same run, left alone; made once for a state of the code."""
    folder = Path(gettempdir()) / f"sharpen-calm-{code_fingerprint()}" / recipe
    if not (folder / "result.json").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        started(recipe, folder).join()
    return folder


def cut(folder: Path, how: str) -> bool:
    """Cut the log as an interrupted write would; whether there was anything to cut."""
    log = folder / "journal.sqlite-wal"
    size = log.stat().st_size if log.is_file() else 0
    if not how or size < FRAME + 32:
        return False
    os.truncate(log, size - {"1": 1, "half": FRAME // 2, "all but 1": FRAME - 1}[how])
    return True


def left_behind(sessions: list[int]) -> int:
    """Processes of these sessions that still live after a while."""
    until = time.monotonic() + GONE
    while (alive := _alive(sessions)) and time.monotonic() < until:
        time.sleep(0.1)
    return alive


def _alive(sessions: list[int]) -> int:
    return sum(one.session in sessions and one.state != "Z" for one in processes().values())


class Trial:
    """One unit's kills."""

    def __init__(self, recipe: str, rng: Random, place: Path) -> None:
        self.recipe, self.rng, self.place = recipe, rng, place
        self.kills: list[str] = []
        self.cuts = 0
        self.sessions: list[int] = []
        self.unequal: list[str] = []
        """What was not as it should be."""

    def all(self) -> None:
        """Run after run until there were enough kills."""
        for number in range(KILLS):
            if len(self.kills) < KILLS:
                self.one(self.place / str(number))

    def one(self, folder: Path) -> None:
        """Kill a run again and again until it ends, or there were enough kills; then let it end."""
        while self.died(folder, self.next_place()):
            pass
        if contents(folder) != contents(reference(self.recipe)):
            self.unequal.append(f"other contents after {self.kills}")
        if len({row.entry.key for row in read_rows(folder)}) != len(list(read_rows(folder))):
            self.unequal.append(f"a step twice after {self.kills}")

    def next_place(self) -> str:
        """What to do to the next process."""
        kind = self.rng.choice(list(KINDS))
        return f"{kind}:{self.rng.randint(1, KINDS[kind])}" if len(self.kills) < KILLS else "none"

    def died(self, folder: Path, place: str) -> bool:
        """Run; whether it ended before its end."""
        process = started(self.recipe, folder, place)
        process.join()
        assert process.pid is not None
        self.sessions.append(process.pid)
        if process.exitcode == 0:
            return False
        kind = place.partition(":")[0]
        if process.exitcode != (REFUSED if kind in {*ERRORS, "sqlite"} else -signal.SIGKILL):
            self.unequal.append(f"status {process.exitcode} at {place}")
            return False
        self.kills.append(kind)
        self.cuts += cut(folder, self.rng.choice(CUTS))
        return True


def units() -> list[str]:
    """Names of all units."""
    return [f"{part} #{number}" for number in range(UNITS) for part in RECIPES]


def work(unit: str) -> dict[str, JsonValue]:
    """Kill runs of a recipe at places that follow from the unit's name."""
    with TemporaryDirectory() as place:
        trial = Trial(RECIPES[unit.partition(" ")[0]], random_for("kills", unit), Path(place))
        trial.all()
        left = left_behind(trial.sessions)
    return {
        "kills": dict(Counter(trial.kills)),
        "cuts": trial.cuts,
        "left behind": left,
        "unequal": trial.unequal,
        "ok": not trial.unequal and not left,
    }


def table(rows: Mapping[str, Mapping[str, JsonValue]]) -> list[str]:
    """Kills by kind and by what the run improves, in Markdown."""
    parts = [[row for unit, row in rows.items() if unit.startswith(part)] for part in RECIPES]
    lines = [f"| place | {' | '.join(RECIPES)} |", f"|---|{'---|' * len(RECIPES)}"]
    for kind in KINDS:
        lines.append(f"| {kind} | {' | '.join(str(sum(_of(row, kind) for row in part)) for part in parts)} |")
    failed = [unit for unit, row in rows.items() if not row["ok"]]
    total = sum(_of(row, kind) for row in rows.values() for kind in KINDS)
    cuts = sum(int(str(row["cuts"])) for row in rows.values())
    told = f"{total} interruptions, {cuts} of them with a torn tail of the log after it: "
    well = "all ended in the same bytes, no step twice, no process left behind."
    return [*lines, "", told + (f"failed in {', '.join(failed)}." if failed else well)]


def _of(row: Mapping[str, JsonValue], kind: str) -> int:
    kills = row["kills"]
    return int(str(kills.get(kind, 0))) if isinstance(kills, dict) else 0
