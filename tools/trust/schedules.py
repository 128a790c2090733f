"""T2: how many workers there are, and in which order work is done, changes nothing."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from pydantic import JsonValue

from sharpen.core.ahead import Read
from sharpen.core.attempt import Attempt
from sharpen.core.policy import Decoding, Job, Policy
from sharpen.core.run import Run
from sharpen.core.seeds import random_for
from sharpen.core.task import Task
from sharpen.core.verdict import Verdict
from sharpen.executors.pool import JudgePool
from sharpen.verifiers.source import open_verifier

sys.path.append(str(Path(__file__).parents[2] / "tests"))
from helpers_run import START, ToyActor, ToyVerifier, contents, engine, loop, task_set

SCHEDULES, UNITS = 20, 10
WORKERS = (1, 2, 8)
ANSWERS = [f"#### {n}/{m}" for n in range(1, 7) for m in range(1, 6)] + [r"\boxed{\frac{1}{2}}", "no idea"]


class Shuffling(ToyActor):
    """Makes the attempts of a call in another order, in batches of other sizes."""

    rng: Random

    def act(self, policy: Policy, jobs: Sequence[Job], decoding: Decoding) -> list[Attempt]:
        """Attempts in the order of the jobs."""
        order = self.rng.sample(range(len(jobs)), len(jobs))
        done: dict[int, Attempt] = {}
        while order:
            batch, order = order[: (size := self.rng.randint(1, 5))], order[size:]
            done |= zip(batch, super().act(policy, [jobs[i] for i in batch], decoding), strict=True)
        return [done[i] for i in range(len(jobs))]


class ShufflingVerifier(ToyVerifier):
    """Judges in another order."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng

    def judge(self, pairs: Sequence[tuple[Task, Attempt]], read: Read) -> list[Verdict]:
        """Verdicts in the order of the pairs."""
        order = self.rng.sample(range(len(pairs)), len(pairs))
        done = {i: super(ShufflingVerifier, self).judge([pairs[i]], read)[0] for i in order}
        return [done[i] for i in range(len(pairs))]


@cache
def wanted() -> object:
    """The run in order."""
    with TemporaryDirectory() as folder:
        made = engine(Path(folder))
        loop(Run(made), task_set(), START)
        made.journal.close()
        return contents(Path(folder))


def differs(seed: int) -> bool:
    """Whether a run on another schedule has another journal or other files."""
    rng = random_for("schedule", seed)
    with TemporaryDirectory() as folder:
        made = engine(Path(folder))
        actor = Shuffling(made.store)
        actor.rng, made.actor, made.verifier = rng, actor, ShufflingVerifier(rng)
        loop(Run(made), task_set(), START)
        made.journal.close()
        return contents(Path(folder)) != wanted()


def verdicts(workers: int) -> list[str]:
    """What a verifier in worker processes says of some answers."""
    with JudgePool(workers=workers) as pool:
        verifier = open_verifier("math", pool=pool)
        said = verifier.judge_texts([(Task.ask("?", "1/2"), answer) for answer in ANSWERS * 4])
        return [verdict.model_dump_json() for verdict in said]


def units() -> list[str]:
    """Names of all units."""
    return [*(f"{SCHEDULES} schedules #{n}" for n in range(UNITS)), *(f"{n} judge workers" for n in WORKERS)]


def work(unit: str) -> dict[str, JsonValue]:
    """Runs on other schedules, or judging with so many workers against one."""
    if unit.endswith("workers"):
        same = verdicts(int(unit.split()[0])) == verdicts(1)
        return {"tried": len(ANSWERS) * 4, "different": int(not same), "ok": same}
    first = int(unit.partition("#")[2]) * SCHEDULES
    found = sum(differs(seed) for seed in range(first, first + SCHEDULES))
    return {"tried": SCHEDULES, "different": found, "ok": not found}


def table(rows: Mapping[str, Mapping[str, JsonValue]]) -> list[str]:
    """What was tried, in Markdown."""
    runs = [row for unit, row in rows.items() if "schedules" in unit]
    tried, different = (sum(int(str(row[key])) for row in runs) for key in ("tried", "different"))
    lines = [f"{tried} runs on shuffled schedules: {different} with another journal or other files."]
    return lines + [
        f"{row['tried']} verdicts by {unit}: {'equal' if row['ok'] else 'not equal'} to those by one."
        for unit, row in rows.items()
        if unit.endswith("workers")
    ]
