"""Commands that make and show runs."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from sharpen.cli.output import Json, print_json, print_pairs
from sharpen.cli.unknown import SETTINGS_OF
from sharpen.core.budget import Budget
from sharpen.core.errors import BadInput, SharpenError
from sharpen.experiment.spec import Request, RunSpec

if TYPE_CHECKING:
    from sharpen.experiment.result import Result
    from sharpen.report.live import Live

Flag = Annotated[bool, Parameter(negative="")]

RUNS = Path("runs")
NOTHING_ASKED = Request()


def run_command(name: str) -> Callable[..., None]:
    """The command `run NAME`, with the recipe's settings among its options."""
    from sharpen.core.recipe import load_recipe

    recipe = load_recipe(name)
    defaults = recipe.config()

    def command(
        *,
        request: Annotated[Request, Parameter(name="*")] = NOTHING_ASKED,
        settings: Any = defaults,
        budget: str = "",
        out: Path | None = None,
        fork: Flag = False,
        dry_run: Flag = False,
        sink: tuple[str, ...] = (),
        json: Json = False,
    ) -> None:
        asked = {field: anchored(getattr(request, field)) for field in request.model_fields_set}
        own = settings.model_dump(mode="json", exclude_unset=True)
        spec = RunSpec.at(
            anchored(name), recipe.home, {**asked, "settings": own}, budget=Budget.parse(budget)
        )
        if dry_run:
            _predict(spec, json)
        else:
            _execute(spec, out or default_folder(spec), fork=fork, sink=sink, json=json)

    command.__doc__ = f"""{name}: {recipe.paper}.

    Parameters
    ----------
    budget
        Limits, e.g. sampled_tokens=2e6,seconds=600. A run that stops at one can be resumed with more.
    out
        Folder of the run; the same folder resumes it.
    fork
        If the folder holds a run of something else, start a new one beside it.
    dry_run
        Check everything, print the resolved configuration and the predicted cost, and stop. An endpoint is
        sent nothing.
    sink
        Tracker that is told of the run: tensorboard, mlflow, wandb (offline) or trackio.
    json
        Print the result as JSON on standard output.
    """
    command.__annotations__["settings"] = Annotated[
        recipe.config, Parameter(name="*", group=f"{SETTINGS_OF}{name}")
    ]
    return command


def anchored(value: Any) -> Any:
    """The value with the file or folder it begins with made absolute: a run can be resumed from anywhere."""
    if not isinstance(value, str):
        return value
    found = re.match(r"(.+?\.(?:py|jsonl|csv))(.*)", value, re.DOTALL)
    path, rest = (found[1], found[2]) if found else (value, "")
    looks_like_one = found is not None or value.startswith((".", "/", "~"))
    return str(Path(path).expanduser().absolute()) + rest if looks_like_one and Path(path).exists() else value


def default_folder(spec: RunSpec) -> Path:
    """runs/RECIPE-MODEL-TASK-sSEED."""
    words = (Path(spec.recipe).stem, Path(spec.model).name, Path(spec.task).name, f"s{spec.seed}")
    return RUNS / re.sub(r"[^A-Za-z0-9_.=-]+", "-", "-".join(words))


def _execute(spec: RunSpec, folder: Path, *, fork: bool, sink: Sequence[str], json: bool) -> None:
    from sharpen.experiment.execute import execute

    if fork and sink:
        raise BadInput("sink", sink[0], "cannot follow a fork", remedy="give the new run an --out of its own")
    result = _displayed(
        folder,
        json,
        lambda live: execute(spec, folder, live, fork=fork, tell=live.tell),
        sinks=sink,
        limits=spec.budget,
    )
    _print(result, folder, json)


def _displayed(
    folder: Path,
    json: bool,
    work: Callable[[Live], Result],
    *,
    sinks: Sequence[str],
    limits: Budget | None,
) -> Result:
    """Do the work with progress shown, on standard error if standard output is for JSON."""
    from rich.console import Console

    from sharpen.core.journal import read_rows
    from sharpen.report.live import Live

    console = Console(stderr=json, soft_wrap=True)
    telling = _told(folder, sinks, console.print)
    console.print(f"run folder {folder}", highlight=False)
    begun = read_rows(folder) if (folder / "journal.sqlite").is_file() else ()
    with telling, Live(console, limits, begun) as live:
        result = work(live)
        live.close()
    return result


def _told(folder: Path, sinks: Sequence[str], warn: Callable[[str], None]) -> AbstractContextManager[None]:
    """Trackers hear of the run meanwhile; where there are none, nothing of theirs is imported."""
    if not sinks:
        return nullcontext()
    from sharpen.report.sinks.follow import asked_for, following

    return following(folder, asked_for(sinks), warn)


def _print(result: Result, folder: Path, json: bool) -> None:
    from rich.console import Console

    from sharpen.report.samples import write_samples
    from sharpen.report.summary import print_result

    pictures = write_samples(folder, result)
    if json:
        print_json(result)
    else:
        print_result(Console(), result, folder)
        if pictures:
            print_pairs([("pictures", f"before and after in {pictures}")])


def _predict(spec: RunSpec, json: bool) -> None:
    from sharpen.experiment.predict import predict

    forecast = predict(spec)
    if json:
        print_json(forecast)
    else:
        print_pairs(forecast.lines())


def resume(
    folder: Path,
    /,
    *,
    budget: str = "",
    repair: Flag = False,
    sink: tuple[str, ...] = (),
    executor: str = "local",
    json: Json = False,
) -> None:
    """Go on with a run that was stopped, killed, or ran out of budget.

    Parameters
    ----------
    folder
        Folder of the run.
    budget
        New limits in the place of the old ones.
    repair
        Compute stored files again that are missing or damaged.
    sink
        Tracker that is told of the run: tensorboard, mlflow, wandb (offline) or trackio.
    executor
        Where judges run: local, ray, or ray:ADDRESS; `ray?engines=4` also makes attempts there.
    """
    from sharpen.experiment.execute import begun
    from sharpen.experiment.execute import resume as go_on

    limits = Budget.parse(budget) if budget else None
    begun(folder)  # before anything is said of a folder that holds no run
    result = _displayed(
        folder,
        json,
        lambda live: go_on(folder, live, budget=limits, repair=repair, executor=executor, tell=live.tell),
        sinks=sink,
        limits=limits,
    )
    _print(result, folder, json)


def runs(*, folder: Path = RUNS, json: Json = False) -> None:
    """List runs with their state.

    Parameters
    ----------
    folder
        Where the runs are; those of comparisons in it are listed with them.
    """
    from sharpen.experiment.show import list_runs
    from sharpen.ui.holders import Holders

    holders = Holders()
    # Nobody has made the usual folder before the first run; one that was named must be there.
    listed = list_runs(folder) if folder != RUNS or folder.exists() else []
    found = [
        run.model_copy(update={"state": "running"}) if holders.of(Path(run.folder)) else run for run in listed
    ]
    if json:
        print_json(found)
    elif found:
        from rich.console import Console

        from sharpen.report.listing import print_runs

        print_runs(Console(), found)
    else:
        sys.stdout.write(f"no runs in {folder}; `sharpen quickstart` makes two\n")


def show(folder: Path, /, *, task: str | None = None, tree: str | None = None, json: Json = False) -> None:
    """Show a run's result, or its rounds so far, or every attempt or search tree of a task in it.

    Parameters
    ----------
    folder
        Folder of the run.
    task
        Key, or start of the key, of a task whose attempts are shown.
    tree
        Key, or start of the key, of a task whose search trees are shown; empty for all.
    """
    from rich.console import Console

    from sharpen.experiment.show import attempts_of, read_result, trees_of
    from sharpen.report.history import read_history
    from sharpen.report.listing import print_unfinished
    from sharpen.report.summary import print_attempts
    from sharpen.report.trees import print_trees

    if tree is not None:
        found = trees_of(folder, tree)
        if json:
            print_json(found)
        else:
            print_trees(Console(), found)
        return
    if task is not None:
        shown = attempts_of(folder, task)
        if json:
            print_json(shown)
        else:
            print_attempts(Console(), shown)
        return
    if json or (folder / "result.json").is_file():
        _print(read_result(folder), folder, json)
    else:
        print_unfinished(Console(), read_history(folder))


def quickstart(*, model: str = "tiny", seed: int = 0, out: Path = RUNS, json: Json = False) -> None:
    """See a model get better: star and b_star on a real model, tested against both controls.

    Parameters
    ----------
    model
        tiny, or smollm2 for a real instruct model.
    seed
        Seed of everything random.
    out
        Folder for the runs.
    """
    from rich.console import Console

    from sharpen.cli.quickstart import plan
    from sharpen.experiment.execute import execute
    from sharpen.report.summary import print_side_by_side

    specs = plan(model, seed)
    if not specs:
        raise SharpenError(
            f"there is no quickstart for {model}", remedy=f"`sharpen run star --model {model} --task TASK`"
        )
    results: dict[Path, Result] = {}
    for name, spec in specs.items():
        folder = out / f"quickstart-{name}"
        results[folder] = _displayed(
            folder, json, partial(execute, spec, folder, fork=True), sinks=(), limits=None
        )
    if json:
        print_json(list(results.values()))
    else:
        print_side_by_side(Console(), results)
