"""The command that puts a recipe's claim to the test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sharpen.cli.output import Json, print_json


def reproduce(
    recipe: str,
    /,
    *,
    seeds: int = 3,
    first_seed: int = 0,
    arms: tuple[str, ...] = (),
    quick: Annotated[bool, Parameter(negative="")] = False,
    runs: Path = Path("runs/reproduce"),
    out: Path | None = None,
    json: Json = False,
) -> None:
    """Test a recipe's claim: method, baselines at the same budget, ablation, over seeds; with a verdict.

    Running it again goes on where it stopped.

    Parameters
    ----------
    recipe
        Name of the recipe.
    seeds
        Number of seeds.
    first_seed
        The lowest seed.
    arms
        Baselines to run; all if unset. Method and ablation always run.
    quick
        The recipe's demonstration in place of its home: a first look in minutes.
    runs
        Folder for the runs.
    out
        Folder for RECIPE.json; `results`, or the folder of the runs with --quick.
    """
    from rich.console import Console

    from sharpen.core.engine import Listener
    from sharpen.core.errors import BadInput
    from sharpen.experiment.reproduce import reproduce as test_claim
    from sharpen.report.live import Live
    from sharpen.report.reproduction import print_reproduction

    if seeds < 1:
        raise BadInput("seeds", seeds, "there is nothing to run", remedy="give 1 or more")
    console = Console(stderr=json, soft_wrap=True)

    @contextmanager
    def listening(title: str) -> Iterator[Listener]:
        console.rule(title, align="left")
        with Live(console) as live:
            yield live
            live.close()

    found = test_claim(
        recipe,
        seeds=range(first_seed, first_seed + seeds),
        runs=runs,
        out=out or (runs if quick else Path("results")),
        listening=listening,
        arms=arms,
        quick=quick,
    )
    if json:
        print_json(found)
    else:
        print_reproduction(console, found)
