"""Curves as text, for terminals and for logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from sharpen.core.stats import Interval

MARKERS = "•x+o*#%@"
"""One per series, in order; used again beyond eight."""
_HEIGHT = 14
_WIDEST = 100
_NARROWEST = 30
_MOST_TICKS = 10


def print_curve(
    title: str,
    xs: Sequence[float],
    series: Mapping[str, Sequence[Interval | None]],
    *,
    console: Console | None = None,
    ticks: Sequence[float] = (),
) -> None:
    """Print means joined by lines, with their intervals as bars; as wide as the console, without colours.

    What is unknown or None is left out. A series must be as long as `xs`, else ValueError.
    """
    where = console or Console()
    text = curve(title, xs, series, width=where.width, ticks=ticks)
    where.print(text, markup=False, highlight=False)


def curve(
    title: str,
    xs: Sequence[float],
    series: Mapping[str, Sequence[Interval | None]],
    *,
    width: int,
    ticks: Sequence[float] = (),
) -> str:
    """The text that `print_curve` prints; lines of at most `width` characters (but at least 30).

    `ticks` are the places that are marked on the axis; the known points if there are none.
    """
    known = [x for values in series.values() for x, _ in _known(xs, values)]
    if not known:
        return f"{title}: unknown"
    import plotext

    figure = plotext.figure
    figure.clear()
    try:
        figure.theme("colorless")
        figure.plot_size(max(_NARROWEST, min(width, _WIDEST)), _HEIGHT)
        figure.title(title)
        _ticks(figure, ticks or sorted(set(known)))
        for values in series.values():
            _bars(figure, xs, values)
        for index, values in enumerate(series.values()):
            _line(figure, xs, values, _marker(index))
        drawn = figure.build().string(colorless=True)
    finally:
        figure.clear()
    legend = "   ".join(f"{_marker(index)} {name}" for index, name in enumerate(series))
    return "\n".join([*(line.rstrip() for line in drawn.splitlines()), legend])


def _marker(index: int) -> str:
    return MARKERS[index % len(MARKERS)]


def _ticks(figure: Any, xs: Sequence[float]) -> None:
    shown = xs[:: -(-len(xs) // _MOST_TICKS)]
    figure.ruler("x").ticks(list(shown), [f"{x:g}" for x in shown])


def _known(xs: Sequence[float], values: Sequence[Interval | None]) -> list[tuple[float, Interval]]:
    pairs = zip(xs, values, strict=True)
    return [(x, value) for x, value in pairs if value is not None and value.mean is not None]


def _bars(figure: Any, xs: Sequence[float], values: Sequence[Interval | None]) -> None:
    for x, value in _known(xs, values):
        if value.low is not None and value.high is not None:
            figure.draw(figure.segment((x, x), (value.low, value.high), marker="│"))


def _line(figure: Any, xs: Sequence[float], values: Sequence[Interval | None], marker: str) -> None:
    points = _known(xs, values)
    signal = figure.signal([x for x, _ in points], [value.mean for _, value in points], marker=marker)
    signal.lines()
    figure.draw(signal)
