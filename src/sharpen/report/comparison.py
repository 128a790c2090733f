"""Prints a comparison: the table of arms, score against every budget axis, and what may be concluded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import floor, log10
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sharpen.core.engine import Listener
from sharpen.experiment.comparison import ArmResult, Comparison, Point, Role, Standing
from sharpen.report.live import Live
from sharpen.report.sinks.follow import Asked, following
from sharpen.report.terminal import print_curve

_TICKS = 5
_LOG_WIDTH = 120

_LEGEND = (
    ("answer", "tokens that are drawn to answer one test task"),
    (
        "minus",
        "paired over seeds and tasks; 5 % errors in all, by Holm's procedure over methods and over pairs",
    ),
    ("rank", "1 and the number of arms that are clearly better, by Holm's procedure over all pairs"),
    ("score", "of sealed test tasks in the table, of validation tasks in the charts"),
)

_AXES: dict[str, Callable[[Point], float]] = {
    "sampled tokens": lambda point: point.usage.sampled_tokens,
    "trained tokens": lambda point: point.usage.trained_tokens,
    "seconds": lambda point: point.seconds,
}


def print_comparison(console: Console, found: Comparison) -> None:
    """Tables, charts, notes and conclusion."""
    seeds = f"{len(found.seeds)} seeds" if len(found.seeds) != 1 else "1 seed"
    console.print(f"\n{found.task}, {found.model}, sealed test, {seeds}", highlight=False, markup=False)
    order = sorted(found.arms, key=lambda arm: (arm.rank, -(arm.score.mean or 0.0)))
    console.print(_scores(order, found))
    console.print(_costs(order, found))
    for axis, place in _AXES.items():
        _chart(console, found, axis, place)
    for name, text in (*_LEGEND, *(("note", note) for note in found.notes)):
        console.print(f"{name:<7} {text}", highlight=False, markup=False)
    console.print(f"\n[bold]{escape(found.conclusion)}[/bold]", highlight=False)


def _plain_table(*headings: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "arm" else "right", no_wrap=True)
    return table


def _scores(order: Sequence[ArmResult], found: Comparison) -> Table:
    table = _plain_table("rank", "arm", "score (95 %)", "minus best control")
    ranks = Counter(arm.rank for arm in order)
    for arm in order:
        rank = f"{'=' * (ranks[arm.rank] > 1)}{arm.rank}"
        table.add_row(rank, _name(arm), arm.score.percent(), _against(arm, found))
    return table


def _name(arm: ArmResult) -> str:
    samples = arm.settings.get("samples") if arm.role is Role.MORE_SAMPLES else None
    return escape(arm.name) + (f" x{samples}" if samples else "")


def _against(arm: ArmResult, found: Comparison) -> str:
    if arm.minus_control is None:
        return "best control  " if arm.name == found.best_control else ""
    mark = {Standing.ABOVE: " ▲", Standing.BELOW: " ▼"}.get(arm.standing or Standing.UNCLEAR, "  ")
    return arm.minus_control.percent(signed=True) + mark


def _costs(order: Sequence[ArmResult], found: Comparison) -> Table:
    """Shares of the limits, use per run, and tokens to answer one test task."""
    limits = list(found.budget.model_dump(exclude_none=True))
    shares = ["of budget"] if len(limits) == 1 else [f"of {meter.partition('_')[0]}" for meter in limits]
    table = _plain_table("arm", *shares, "sampled", "trained", "seconds", "answer")
    for arm in order:
        used = [f"{arm.share[meter]:.0%}" if meter in arm.share else "" for meter in limits]
        amounts = (arm.usage.sampled_tokens, arm.usage.trained_tokens, round(arm.seconds))
        answer = f"{arm.test_tokens / found.sizes[2]:,.0f}"
        table.add_row(_name(arm), *used, *(f"{number:,}" for number in amounts), answer)
    return table


def _chart(console: Console, found: Comparison, axis: str, place: Callable[[Point], float]) -> None:
    """Validation score by what was used so far, one line per method."""
    curves = {arm.name: arm.curve for arm in found.arms if arm.curve}
    most = max((place(point) for points in curves.values() for point in points), default=0.0)
    if not most:
        return
    unit, named = (1e6, " (millions)") if most >= 2e6 else (1e3, " (thousands)") if most >= 2e3 else (1.0, "")
    xs = sorted({place(point) / unit for points in curves.values() for point in points})
    series = {
        name: [{place(point) / unit: point.val for point in points}.get(x) for x in xs]
        for name, points in curves.items()
    }
    ticks = _round_ticks(most / unit)
    print_curve(f"val score by {axis}{named}", xs, series, console=console, ticks=ticks)


def _round_ticks(most: float) -> list[float]:
    """About five round numbers from 0 up to `most`."""
    rough = most / _TICKS
    power = 10.0 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [step * number for number in range(floor(most / step) + 1)]


@contextmanager
def logged(path: Path, sinks: Sequence[Asked] = ()) -> Iterator[Listener]:
    """A listener that appends calm lines to the log of a comparison's run, and tells trackers of the run."""
    run = path.parent.parent / "runs" / path.stem
    with path.open("a", encoding="utf-8") as file:
        console = Console(file=file, width=_LOG_WIDTH)
        with following(run, sinks, console.print), Live(console) as live:
            yield live
            live.close()
