"""What the loop costs around its model: a whole run, its time split by its journal, and its replay.

Seconds of a row are those of its work; what lies between rows is the loop's own. Sampling, scoring and
training happen in the model, the rest is orchestration.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import mean, median

from sharpen.bench.rows import Row
from sharpen.bench.search import Quiet
from sharpen.core.journal import Entry, read_rows
from sharpen.core.journal import Row as Written
from sharpen.experiment.execute import execute
from sharpen.experiment.spec import RunSpec

RECIPE = "star"
TASK = "chain?level=2"
PARTS = {"attempt": "sample", "judge": "judge", "curate": "curate", "update": "train", "gate": "gate"}
"""Verbs of a round by the name of what they do; scoring for the gate counts as gate."""
RECORD = "record"
RESUMES = 3
"""How often a finished run is resumed."""


def run(model: str, *, threads: int | None, quick: bool) -> list[Row]:
    """A run of a recipe that samples, judges, trains and gates, then the same command again."""
    size = (16, 8, 8) if quick else (192, 64, 64)
    spec = RunSpec(
        recipe=RECIPE,
        task=TASK,
        model=model,
        threads=threads,
        settings={"iterations": 2, "samples": 4, "epochs": 1},
        train=size[0],
        val=size[1],
        test=size[2],
        control_samples=4,
    )
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "run"
        result = execute(spec, folder, Quiet())
        rows = list(read_rows(folder))
        resumed, computing = _seconds_to_resume(folder, Path(root) / "compiled")
        again = len(list(read_rows(folder))) - len(rows)
    case = f"{model}: {RECIPE}, {size[0]} tasks x 4 samples"
    return [
        *_overhead(case, rows, result.model_time_share),
        *_split(case, rows),
        Row(
            case=case,
            metric="seconds to resume when finished",
            ours=median(resumed),
            ours_range=(min(resumed), max(resumed)),
            note=f"a new process each time, modules compiled as by pip; {computing:.2f} s of it computing; "
            f"{again} steps more",
        ),
    ]


def _seconds_to_resume(folder: Path, compiled: Path) -> tuple[list[float], float]:
    """Of the command, with the start of Python and all that it imports; and how long it computes on average.

    It is run once before, which compiles the modules.
    """
    command = [sys.executable, "-c", "from sharpen.cli import main; main()", "resume", str(folder), "--json"]
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    seconds: list[float] = []
    used: list[float] = []
    for _ in range(1 + RESUMES):
        began, before = time.perf_counter(), _children()
        subprocess.run(
            command,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**kept, "PYTHONPYCACHEPREFIX": str(compiled)},
        )
        seconds.append(time.perf_counter() - began)
        used.append(_children() - before)
    return seconds[1:], mean(used[1:])


def _children() -> float:
    """Seconds that processes of this one have computed, of those that have ended."""
    found = resource.getrusage(resource.RUSAGE_CHILDREN)
    return found.ru_utime + found.ru_stime


def _overhead(case: str, rows: Sequence[Written], share: float) -> list[Row]:
    """What a sample costs beside the model and its judge, and how much of all time is the model's."""
    costs = [cost for before, row in pairwise(rows) if (cost := sample_cost(before, row)) is not None]
    return [
        Row(
            case=case,
            metric="orchestration, ms a sample",
            ours=median(costs),
            ours_range=(min(costs), max(costs)),
            note=f"median over {len(costs)} journal rows of samples",
        ),
        Row(case=case, metric="model's share of time", ours=share),
    ]


def sample_cost(before: Written, row: Written) -> float | None:
    """Milliseconds a sample from the end of the row before, without the model's; None for other rows."""
    samples = row.entry.usage.model_calls
    if row.entry.verb != "attempt" or not samples:
        return None
    passed = row.wall.elapsed - before.wall.elapsed
    return 1000 * (passed - row.wall.model_seconds) / samples


def _split(case: str, rows: Sequence[Written]) -> list[Row]:
    """Seconds of an iteration by what is done; what lies between rows is recording."""
    places = [place for place, row in enumerate(rows) if row.entry.key.startswith("round.")]
    window = rows[places[0] : places[-1] + 1]
    rounds = len({row.entry.key.partition("/")[0] for row in window if row.entry.key.startswith("round.")})
    spent: dict[str, float] = dict.fromkeys((*PARTS.values(), RECORD), 0.0)
    for row in window:
        spent[part_of(row.entry)] += row.wall.seconds
    passed = window[-1].wall.elapsed - rows[places[0] - 1].wall.elapsed
    spent[RECORD] += passed - sum(spent.values())
    return [
        Row(
            case=case,
            metric=f"{name}, seconds an iteration",
            ours=seconds / rounds,
            note=f"{seconds / passed:.1%} of its time",
        )
        for name, seconds in spent.items()
    ]


def part_of(entry: Entry) -> str:
    """What a row's time was spent on."""
    return "gate" if entry.key.startswith("evaluate/") else PARTS.get(entry.verb, RECORD)
