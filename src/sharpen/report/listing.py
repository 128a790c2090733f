"""Prints the list of runs, and where a run stands that is not finished."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sharpen.experiment.show import RunInfo
from sharpen.report.history import History
from sharpen.report.standing import duration
from sharpen.report.summary import print_rounds
from sharpen.report.text import one_line, visible

_WIDE = 160
"""Columns that all facts need; also what there is where no terminal sets a width."""
_LONGEST = 36
"""Characters of one cell."""
_GIVING = ("task", "run", "model", "recipe")
"""Columns that give way where there is not room for all."""
_GAP, _LEAST = 3, 6


class Column(NamedTuple):
    """A fact about a run."""

    read: Callable[[RunInfo], str]
    justify: Literal["left", "right"] = "left"
    always: bool = True
    """Whether narrow terminals show it, too."""


_COLUMNS = {
    "run": Column(lambda run: _end(visible(run.name or Path(run.folder).name), _LONGEST)),
    "state": Column(lambda run: run.state),
    "recipe": Column(lambda run: Path(run.recipe).stem, always=False),
    "task": Column(lambda run: run.task),
    "model": Column(lambda run: run.model, always=False),
    "seed": Column(lambda run: str(run.seed), "right", always=False),
    "test score": Column(lambda run: run.after.percent() if run.after else "", "right", always=False),
    "after - before": Column(lambda run: run.gain.percent(signed=True) if run.gain else "", "right"),
    "steps": Column(lambda run: f"{run.steps:,}", "right", always=False),
    "last step": Column(lambda run: _ago(run.changed), "right"),
}


def _end(name: str, most: int) -> str:
    """What tells runs of one comparison apart stands at the end of their names: that stays."""
    return name if len(name) <= most else f"…{name[1 - most :]}"


def print_runs(console: Console, runs: Sequence[RunInfo]) -> None:
    """A row a run, of which there must be one, each in one line; narrow terminals get fewer columns."""
    if not console.is_terminal:
        console.width = max(console.width, _WIDE)
    shown = {name: column for name, column in _COLUMNS.items() if column.always or console.width >= _WIDE}
    cells = {name: [one_line(column.read(run), _LONGEST) for run in runs] for name, column in shown.items()}
    widths = {name: max(map(cell_len, (name, *column))) for name, column in cells.items()}
    over = sum(widths.values()) + _GAP * len(widths) - console.width
    for name in _GIVING:
        given = max(0, min(over, widths.get(name, 0) - _LEAST))
        if given:
            widths[name], over = widths[name] - given, over - given
    cells["run"] = [_end(name, widths["run"]) for name in cells["run"]]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, column in shown.items():
        table.add_column(name, justify=column.justify, width=widths[name], no_wrap=True, overflow="ellipsis")
    for row in zip(*cells.values(), strict=True):
        table.add_row(*map(Text, row))
    console.print(table)


def _ago(changed: float) -> str:
    return f"{duration(max(0.0, time.time() - changed))} ago" if changed else ""


def print_unfinished(console: Console, history: History) -> None:
    """The rounds so far of a run that has no result, and how it goes on."""
    spec = history.manifest.spec
    head = f"{Path(spec.recipe).stem} on {spec.task}, {spec.model}: not finished"
    console.print(f"\n{one_line(head, 400)}", style="bold", markup=False)
    print_rounds(console, Path(spec.recipe).stem, history.base_val, history.rounds)
    for text in history.warnings:
        console.print(f"{'note':<10} {one_line(text, 400)}", highlight=False, markup=False)
    for name, command in (("next", "resume"), ("or", "report")):
        console.print(f"{name:<10} sharpen {command} {history.folder}", highlight=False, markup=False)
