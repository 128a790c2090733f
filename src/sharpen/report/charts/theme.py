"""Colours and fonts of charts: Okabe and Ito's palette, which people of any colour vision can tell apart."""

from __future__ import annotations

from typing import Any, NamedTuple


class Colours(NamedTuple):
    """What a theme is made of; CSS colours, or CSS variables where a style sheet decides."""

    text: str
    muted: str
    grid: str
    series: tuple[str, ...]


BY_STYLE_SHEET = Colours(
    "var(--text)", "var(--muted)", "var(--grid)", tuple(f"var(--series-{n})" for n in range(1, 9))
)
"""Colours of a page: its style sheet has them for light, dark and print."""
LIGHT = Colours(
    "#1f2328",
    "#59636e",
    "#e4e7eb",
    ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7a6a00", "#666666"),
)
"""Colours where there is no style sheet, such as in notebooks."""


def theme(colours: Colours) -> dict[str, Any]:
    """The `config` of a Vega-Lite spec."""
    font = "system-ui, sans-serif"
    axis = {
        "labelColor": colours.muted,
        "titleColor": colours.muted,
        "domainColor": colours.grid,
        "tickColor": colours.grid,
        "gridColor": colours.grid,
        "titleFontWeight": "normal",
        "labelFontSize": 12,
        "titleFontSize": 12,
    }
    legend = {"labelColor": colours.text, "titleColor": colours.muted, "orient": "top", "labelFontSize": 12}
    return {
        "font": font,
        "background": None,
        "view": {"stroke": None},
        "axis": axis,
        "legend": {**legend, "titleFontWeight": "normal"},
        "range": {"category": list(colours.series), "ordinal": list(colours.series)},
        "line": {"color": colours.series[0], "strokeWidth": 2},
        "area": {"color": colours.series[0]},
        "point": {"color": colours.series[0]},
        "bar": {"color": colours.series[0]},
        "rule": {"color": colours.muted},
    }
