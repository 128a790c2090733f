"""Several runs side by side: scores, curves, what they used, and where their configurations differ.

This is for looking. What may be concluded of two methods, `sharpen compare` says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from sharpen.core.budget import Purpose, Usage
from sharpen.core.errors import BadInput
from sharpen.core.records import Record
from sharpen.core.stats import Interval
from sharpen.experiment.manifest import Manifest
from sharpen.report.charts.base import (
    Chart,
    Row,
    Table,
    by_round,
    kind_of,
    mark,
    number,
    of_interval,
    share_form,
    spec,
    tips,
)
from sharpen.report.charts.base import table as of_rows
from sharpen.report.charts.decisions import ranges
from sharpen.ui.desk import Opened
from sharpen.ui.shelf import Card

MOST = 8
"""Runs side by side: as many as there are colours that can be told apart."""


class Comparison(Record):
    """What the page shows of several runs."""

    charts: tuple[Chart, ...]
    scores: Table
    differences: Table
    """Settings that are not the same in all of them, a column a run."""


def compare(runs: Mapping[str, tuple[Card, Opened]]) -> Comparison:
    """Runs by name, side by side; BadInput for fewer than two or more than `MOST`."""
    if not 2 <= len(runs) <= MOST:
        raise BadInput("run", len(runs), "cannot be compared", remedy=f"tick 2 to {MOST} runs")
    tested = {name: card.after for name, (card, _) in runs.items() if card.after}
    gained = {name: card.delta for name, (card, _) in runs.items() if card.delta}
    found = [
        ranges("test", "Sealed-test score after, with 95 % intervals", "score", tested) if tested else None,
        ranges("gain", "Gain on the sealed test, after minus before", "gain", gained, zero=True)
        if gained
        else None,
        _curves(runs),
    ]
    return Comparison(
        charts=tuple(chart for chart in found if chart),
        scores=_scores(runs),
        differences=_differences({name: run.manifest() for name, (_, run) in runs.items()}),
    )


def _curves(runs: Mapping[str, tuple[Card, Opened]]) -> Chart | None:
    rows: list[Row] = [
        {"run": name, "round": at, **of_interval(value)}
        for name, (_, run) in runs.items()
        for at, value in _val_scores(run)
    ]
    rows = [row for row in rows if row["mean"] is not None]
    if not rows:
        return None
    order = list(runs)
    form = share_form([row["high"] for row in rows if isinstance(row["high"], float)])
    encoding = {
        "x": by_round(),
        "y": number("mean", "validation score", form=form, scale={"zero": False}),
        "color": kind_of("run", None, order),
        "strokeDash": kind_of("run", None, order),
        "tooltip": tips(run="run", round="round", said="score (95 % interval)", n="tasks"),
    }
    return Chart(
        name="curves",
        title="Validation score by round",
        summary=f"Validation scores of {len(runs)} runs, {len(rows)} in all, with 95 % intervals.",
        spec=spec(rows, mark("line", encoding, point=True)),
        table=of_rows(rows, run="run", round="round", mean="score", low="low", high="high", n="tasks"),
    )


def _val_scores(run: Opened) -> Sequence[tuple[int, Interval | None]]:
    result, seen = run.result(), run.look()
    base, rounds = (result.base_val, result.rounds) if result else (seen.base_val, seen.rounds)
    return [(0, base), *((item.round, item.val) for item in rounds)]


def _scores(runs: Mapping[str, tuple[Card, Opened]]) -> Table:
    columns = ("run", "state", "after", "gain", *(name.replace("_", " ") for name in Usage.model_fields))
    rows = []
    for name, (card, run) in runs.items():
        used = run.look().used.get(Purpose.METHOD, Usage())
        after = card.after.percent() if card.after else ""
        gain = card.delta.percent(signed=True) if card.delta else ""
        rows.append((name, card.state.value, after, gain, *used.model_dump().values()))
    return Table(columns=columns, rows=tuple(rows))


def _differences(manifests: Mapping[str, Manifest | None]) -> Table:
    flat = {
        name: _flat(item.spec.model_dump(mode="json")) if item else {} for name, item in manifests.items()
    }
    settings = sorted({setting for one in flat.values() for setting in one})
    rows = [
        (setting, *(json.dumps(one[setting]) if setting in one else "" for one in flat.values()))
        for setting in settings
    ]
    return Table(columns=("setting", *flat), rows=tuple(row for row in rows if len(set(row[1:])) > 1))


def _flat(tree: Mapping[str, JsonValue], prefix: str = "") -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = {}
    for name, value in tree.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found
