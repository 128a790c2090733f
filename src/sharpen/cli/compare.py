"""The command that puts methods side by side."""

from __future__ import annotations

import shlex
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from sharpen.cli.output import Json, print_json
from sharpen.cli.runs import NOTHING_ASKED, RUNS, anchored
from sharpen.core.budget import Budget
from sharpen.experiment.spec import Request

if TYPE_CHECKING:
    from rich.console import Console

    from sharpen.experiment.compare import Progress


def compare(
    *,
    recipes: tuple[str, ...] = (),
    request: Annotated[Request, Parameter(name="*")] = NOTHING_ASKED,
    budget: str = "",
    seeds: int | None = None,
    out: Path = RUNS / "compare",
    jobs: int | None = None,
    sink: tuple[str, ...] = (),
    json: Json = False,
) -> None:
    """Put methods side by side: one task, one start, one budget, the same seeds, both controls.

    Running it again goes on where it stopped. More seeds, or more recipes, extend the same comparison.

    Parameters
    ----------
    recipes
        Names with commas between; NAME:key=value,key=value gives settings; OTHER=NAME another name.
    budget
        What every method gets, e.g. sampled_tokens=2e6,trained_tokens=4e6.
    seeds
        Number of seeds; 1 if unset, which shows no more than that everything runs.
    out
        Folder of the comparison; the same folder goes on.
    jobs
        Runs at a time; as many as there are cores if unset, here or on the cluster.
    sink
        Tracker that is told of every run: tensorboard, mlflow, wandb (offline) or trackio.
    """
    from rich.console import Console

    from sharpen.core.errors import BadInput
    from sharpen.executors.source import LOCAL
    from sharpen.experiment.compare import compare as run_all
    from sharpen.experiment.plan import arms_of, planned
    from sharpen.report.comparison import logged, print_comparison
    from sharpen.report.sinks.follow import asked_for

    for name, number in (("seeds", seeds), ("jobs", jobs)):
        if number is not None and number < 1:
            raise BadInput(name, number, "there is nothing to run", remedy="give 1 or more")
    asked = {field: anchored(getattr(request, field)) for field in request.model_fields_set}
    executor = asked.pop("executor", LOCAL)
    arms = tuple(
        arm.model_copy(update={"recipe": anchored(arm.recipe)}) for arm in arms_of(",".join(recipes))
    )
    plan = planned(out, arms, asked, Budget.parse(budget) if budget else None, seeds)
    console = Console(stderr=json, soft_wrap=True)
    names = f"{len(plan.arms)} methods and both controls, {len(plan.seeds)} seeds"
    console.print(f"comparison {out}: {names}; logs in {out / 'logs'}", highlight=False)
    found = run_all(
        plan,
        out,
        jobs=jobs,
        executor=executor,
        listening=partial(logged, sinks=asked_for(sink)),
        heard=_Heard(console),
        command=shlex.join(["sharpen", *sys.argv[1:]]),
    )
    if json:
        print_json(found)
    else:
        print_comparison(console, found)


class _Heard:
    """Prints a line when a run begins or ends."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began: dict[Path, float] = {}

    def __call__(self, progress: Progress) -> None:
        job, now = progress.job, time.monotonic()
        if not progress.ended:
            self._began[job.folder] = now
            return
        seconds = now - self._began[job.folder]
        left = f"{progress.done} of {progress.total} runs done"
        line = f"{job.arm:<16} seed {job.seed:<4} {seconds:6.0f} s   {left}"
        self._console.print(line, highlight=False, markup=False)
