"""What a chart is, and the pieces that specs are made of.

A spec is Vega-Lite without colours, width and fonts: whoever draws it brings a theme. Field names are our own
words; what models wrote is only ever a value, which Vega shows as text and never evaluates.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import JsonValue

from sharpen.core.records import Record
from sharpen.core.stats import Interval
from sharpen.report.text import visible

Cell = str | int | float | None
Row = Mapping[str, Cell]
Spec = dict[str, Any]

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
HEIGHT = 220
SMALL = 120
LONGEST = 1_000
"""Characters of a text in a chart or its table."""
DENSE = 60
"""From so many values on a line has no dots."""
TICKS = 7
"""About so many marks on an axis."""


class Table(Record):
    """Numbers and texts in columns; None is unknown."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


class Chart(Record):
    """A picture of some numbers, what it says in words, and the numbers themselves."""

    name: str
    """Unique in a report; letters, digits and hyphens."""
    title: str
    summary: str
    """What the picture shows, for people who do not see it."""
    spec: Mapping[str, JsonValue]
    """Vega-Lite, version 6."""
    table: Table
    small: bool = False
    """Whether several of its kind may stand side by side."""


def table(rows: Sequence[Row], **titles: str) -> Table:
    """Some fields of rows under their titles."""
    return Table(
        columns=tuple(titles.values()),
        rows=tuple(tuple(_shown(row.get(name)) for name in titles) for row in rows),
    )


def spec(rows: Sequence[Row], *layers: Spec, height: int = HEIGHT, **more: Any) -> Spec:
    """A layered chart over rows of plain values; one layer stands alone."""
    body = layers[0] if len(layers) == 1 else {"layer": list(layers)}
    return {
        "$schema": SCHEMA,
        "data": {"values": [{name: _shown(cell) for name, cell in row.items()} for row in rows]},
        "height": height,
        **body,
        **more,
    }


def _shown(cell: Cell) -> Cell:
    return visible(cell[:LONGEST]) if isinstance(cell, str) else cell


def mark(kind: str, encoding: Mapping[str, Any], *, where: str = "", **options: Any) -> Spec:
    """A layer of one kind of mark; `where` is an expression of ours that rows must satisfy."""
    body: Spec = {"mark": {"type": kind, **options}, "encoding": dict(encoding)}
    return {**body, "transform": [{"filter": where}]} if where else body


def number(field: str, title: str, *, form: str = "", **more: Any) -> Spec:
    """A quantitative channel; `form` is a d3 format for its axis."""
    axis = {"tickCount": TICKS, **({"format": form} if form else {})}
    return {"field": field, "type": "quantitative", "title": title, "axis": axis, **more}


def kind_of(field: str, title: str | None, order: Sequence[str] | None = None, **more: Any) -> Spec:
    """A nominal channel; a fixed order gives every kind its own colour in every chart."""
    scale = {"scale": {"domain": list(order)}} if order is not None else {}
    sort = {"sort": list(order)} if order is not None else {}
    return {"field": field, "type": "nominal", "title": title, **scale, **sort, **more}


def by_round(title: str = "round") -> Spec:
    """The x channel of everything that goes by rounds: whole numbers only."""
    return whole("round", title)


def whole(field: str, title: str) -> Spec:
    """An x channel of counts: whole numbers only, which need not begin at 0."""
    axis = {"format": "d", "tickMinStep": 1, "tickCount": TICKS, "grid": False}
    return number(field, title, axis=axis, scale={"zero": False, "nice": False})


def lines_of(field: str, order: Sequence[str]) -> Spec:
    """The two channels by which lines are told apart: colour and dashes."""
    channel = kind_of(field, None, order, legend={"symbolType": "stroke"})
    return {"color": channel, "strokeDash": channel}


def slug(*words: str) -> str:
    """A chart's name made of words: letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", " ".join(words).lower()).strip("-")


def count(number_of: int, noun: str) -> str:
    """How many there are: `1 gate`, `2 gates`."""
    return f"{number_of:,} {noun}{'' if number_of == 1 else 's'}"


def tips(**titles: str) -> list[Spec]:
    """What a pointer that rests on a mark is told: fields under their titles."""
    return [{"field": name, "title": title} for name, title in titles.items()]


def share_form(values: Sequence[float | None]) -> str:
    """Format of an axis: percent for values from 0 to 1, else plain numbers."""
    known = [value for value in values if value is not None]
    return ".0%" if known and all(-1 <= value <= 1 for value in known) else ""


def of_interval(value: Interval | None, *, signed: bool = False) -> dict[str, Cell]:
    """Its fields in a row: mean, low, high, n and how it is written."""
    if value is None or value.mean is None:
        return {"mean": None, "low": None, "high": None, "n": 0, "said": "unknown"}
    said = value.percent(signed=signed)
    return {"mean": value.mean, "low": value.low, "high": value.high, "n": value.n, "said": said}


def trend(name: str, title: str, values: Sequence[tuple[int, float | None]], *, form: str = "") -> Chart:
    """A small line over rounds; rounds without a value are left out."""
    rows: list[Row] = [{"round": at, "value": value} for at, value in values if value is not None]
    encoding = {
        "x": by_round(),
        "y": number("value", "", scale={"zero": False}, axis={"format": form or ".4~g", "tickCount": 4}),
        "tooltip": tips(round="round", value=title),
    }
    return Chart(
        name=name,
        title=title,
        summary=_course([value for _, value in values if value is not None]),
        spec=spec(rows, mark("line", encoding, point=len(rows) < DENSE), height=SMALL),
        table=table(rows, round="round", value=title),
        small=True,
    )


def _course(values: Sequence[float]) -> str:
    if len(set(values)) < 2:
        return f"{values[0]:.4g} in every round." if values else "Unknown."
    return f"{values[0]:.4g} in the first round, {values[-1]:.4g} in the last of {len(values)}."
