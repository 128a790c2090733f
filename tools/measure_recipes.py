"""Measure recipes over seeds and write results/RECIPE.json, from which the documentation is made.

    python tools/measure_recipes.py star b_star --seeds 5
    python tools/measure_recipes.py star --model smollm2 --seeds 1

Runs lie in runs/measure and resume where they stopped.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from sharpen.cli.quickstart import plan
from sharpen.core.artifact import write_atomic
from sharpen.experiment.execute import execute
from sharpen.experiment.result import Result
from sharpen.report.live import Live

RESULTS = Path("results")


def main() -> None:
    """Run every seed of every recipe on the quickstart's task and write the summaries."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("recipes", nargs="+")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tasks", nargs="*", default=[], help="task specs in the place of the quickstart's")
    parser.add_argument(
        "--train", type=int, default=None, help="training tasks in the place of the quickstart's"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs/measure"))
    options = parser.parse_args()
    for recipe in options.recipes:
        rows = [
            row(measure(recipe, options.model, task, seed, options))
            for task in options.tasks or [None]
            for seed in range(options.seeds)
        ]
        write(recipe, options.model, rows)


def measure(recipe: str, model: str, task: str | None, seed: int, options: argparse.Namespace) -> Result:
    """One run, resumed if it is there."""
    specs = {spec.recipe: spec for spec in plan(model, seed).values()}
    spec = specs[recipe] if task is None else specs[recipe].model_copy(update={"task": task})
    if options.train is not None:
        spec = spec.model_copy(update={"train": options.train})
    name = f"{recipe}-{model}-{spec.task}-s{seed}".replace("?", "-").replace("&", "-")
    console = Console(stderr=True, soft_wrap=True)
    console.print(f"== {name}")
    with Live(console) as live:
        result = execute(spec, options.runs / name, live, fork=True)
        live.close()
    console.print(result.conclusion)
    return result


def row(result: Result) -> dict[str, object]:
    """What is kept of a run."""
    controls = result.controls
    return {
        "task": result.spec.task,
        "seed": result.spec.seed,
        "sizes": [result.spec.train, result.spec.val, result.spec.test],
        "before": result.test.before.model_dump(),
        "after": result.test.after.model_dump(),
        "delta": result.test.delta.model_dump(),
        "p_value": result.test.p_value,
        "no_update": controls.no_update.mean,
        "more_samples": controls.more_samples.mean,
        "more_samples_drawn": controls.more_samples.samples,
        "more_samples_affordable": controls.more_samples.affordable,
        "after_minus_more_samples": controls.more_samples.after_minus.model_dump(),
        "flows": result.test.flows.model_dump(),
        "rounds": [
            {
                "val": item.val.mean if item.val else None,
                "pass_at_1": item.exploration.pass_at_1 if item.exploration else None,
                "pass_at_k": item.exploration.pass_at_k if item.exploration else None,
            }
            for item in result.rounds
        ],
        "used": result.budget.model_dump(mode="json")["used"]["method"],
        "wall_seconds": round(result.wall_seconds, 1),
        "model_time_share": round(result.model_time_share, 3),
        "coverage": result.coverage,
        "hardware": dict(result.hardware),
        "versions": dict(result.versions),
    }


def write(recipe: str, model: str, rows: list[dict[str, object]]) -> None:
    """Merge the rows into the recipe's result file."""
    path = RESULTS / f"{recipe}.json"
    known = json.loads(path.read_text()) if path.is_file() else {"recipe": recipe, "models": {}}
    deltas = [row["delta"]["mean"] for row in rows]  # type: ignore[index]
    known["models"][model] = {
        "command": shlex.join(["python", *sys.argv]),
        "commit": subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip(),
        "mean_delta": statistics.fmean(deltas),
        "intervals_above_zero": sum(row["delta"]["low"] > 0 for row in rows),  # type: ignore[index]
        "seeds": len(rows),
        "rows": rows,
    }
    write_atomic(path, json.dumps(known, indent=1).encode() + b"\n")


if __name__ == "__main__":
    main()
