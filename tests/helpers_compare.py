"""A recipe that learns nothing, slowly, and a comparison of it that a test can run, kill and extend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sharpen.core.budget import Budget
from sharpen.core.engine import Listener
from sharpen.executors.source import LOCAL
from sharpen.experiment.check_recipe import StopAfter
from sharpen.experiment.compare import PRELOAD, Progress, compare
from sharpen.experiment.comparison import Comparison
from sharpen.experiment.plan import arms_of, planned

RECIPE = '''"""Nothing."""
import time
from sharpen.core.policy import Policy
from sharpen.core.recipe import Need, Setting, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run
from sharpen.core.task import Channel, TaskSet


class Config(Record):
    iterations: int = 2
    seconds: float = 0.0
    fails: bool = False


@recipe(paper="none", improves="nothing", sees=Channel.LABEL)
def nothing(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    for it in run.iterations(config.iterations):
        time.sleep(config.seconds)
        it.judge(it.attempt(policy, tasks.train), tasks.train)
        it.measure(knob=it.round)
        policy = it.gate(policy, incumbent=policy, tasks=tasks.val)
    return policy
'''
ASKED: dict[str, Any] = {
    "task": "chain?level=1",
    "model": "scripted:echo",
    "train": 4,
    "val": 4,
    "test": 6,
    "control_samples": 3,
}
CLOCKED = {"seconds", "model_time_share", "hardware"}
BUDGET = Budget(sampled_tokens=400)


@contextmanager
def silent(path: Path) -> Iterator[Listener]:
    yield StopAfter(None)


def go(
    folder: Path,
    recipes: str,
    seeds: int | None = None,
    *,
    heard: list[str] | None = None,
    preload: Sequence[str] = PRELOAD,
    executor: str = LOCAL,
    **asked: Any,
) -> Comparison:
    """Run a comparison; `heard` gets the names of the runs that ended."""

    def hear(progress: Progress) -> None:
        if progress.ended and heard is not None:
            heard.append(progress.job.folder.name)

    plan = planned(folder, arms_of(recipes), {**ASKED, **asked}, BUDGET, seeds)
    return compare(
        plan,
        folder,
        jobs=2,
        listening=silent,
        heard=hear,
        command="a test",
        executor=executor,
        preload=preload,
    )


def timeless(found: object) -> object:
    """A comparison, or a part of it, without what was measured by a clock."""
    if isinstance(found, Comparison):
        return timeless(found.model_dump(mode="json"))
    if isinstance(found, dict):
        return {name: timeless(value) for name, value in found.items() if name not in CLOCKED}
    return [timeless(value) for value in found] if isinstance(found, list) else found
