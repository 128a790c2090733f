"""A report as one file: a page's records become HTML that needs no network and runs only its own script.

Every text that is put out is escaped, and characters that do not show are spelled out. What stands in scripts
is JSON without angle brackets. The page's own policy forbids everything but the two scripts in it.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

import sharpen
from sharpen.core.records import Record
from sharpen.report.charts.base import Chart, Table
from sharpen.report.charts.theme import BY_STYLE_SHEET, theme
from sharpen.report.text import visible

SHOWN = 600
"""Characters of a text that are seen at once."""
KEPT = 12_000
"""Characters that a page has of one text."""
MOST_ROWS = 200
"""Rows of one table."""


class Cut(Record):
    """A long text: what is seen at once, what opens on demand, and how much the page does not have."""

    start: str
    rest: str = ""
    dropped: int = 0

    @classmethod
    def of(cls, text: str) -> Cut:
        """Cut to what a page can hold."""
        return cls(start=text[:SHOWN], rest=text[SHOWN:KEPT], dropped=max(0, len(text) - KEPT))


class Side(Record):
    """One of two answers that are held against each other."""

    kind: str
    """right, wrong, partly or unknown."""
    verdict: str
    critique: str
    text: Cut | None
    """None where it was made in several steps."""


class Contrast(Record):
    """A task before and after."""

    task: str
    question: Cut | None
    before: Side
    after: Side


class Titled(Record):
    """A table with its title."""

    title: str
    table: Table


class Picture(Record):
    """A picture with its text alternative."""

    text: str
    data: str
    """A data URL."""


class Section(Record):
    """A part of a page; what is empty is not shown."""

    name: str
    title: str
    notes: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    charts: tuple[Chart, ...] = ()
    tables: tuple[Titled, ...] = ()
    examples: tuple[Contrast, ...] = ()
    pictures: tuple[Picture, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show; notes alone are nothing."""
        return not (self.facts or self.charts or self.tables or self.examples or self.pictures)


class Page(Record):
    """A whole report."""

    kind: str
    title: str
    lead: str
    """What may be concluded."""
    warnings: tuple[str, ...] = ()
    sections: tuple[Section, ...]


@cache
def asset(name: str) -> str:
    """A file that pages are made of, as text."""
    return files("sharpen.report").joinpath("assets", name).read_text(encoding="utf-8")


def render(page: Page) -> str:
    """The page as HTML."""
    charts = {chart.name: chart.spec for section in page.sections for chart in section.charts}
    library, script = (
        asset("charts.js"),
        asset("page.js") + "\nsharpenPage.listen();\nsharpenPage.drawAll();\n",
    )
    style = asset("style.css")
    return (
        templates()
        .get_template("report.html")
        .render(
            page=page,
            policy=content_policy(scripts=(library, script), styles=(style,)),
            style=Markup(style),  # ours, like the two scripts
            theme=_json(theme(BY_STYLE_SHEET)),
            specs=_json(charts),
            library=Markup(library),
            script=Markup(script),
            licences=asset("charts.LICENSES.txt"),
            version=sharpen.__version__,
        )
    )


def _json(value: object) -> Markup:
    """JSON that cannot end the element it stands in."""
    return htmlsafe_json_dumps(value, separators=(",", ":"), allow_nan=False)


def content_policy(*, scripts: tuple[str, ...], styles: tuple[str, ...]) -> str:
    """A content security policy under which only these inline scripts and styles count."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {' '.join(map(_source, scripts))}",
            f"style-src-elem {' '.join(map(_source, styles))}",
            "style-src-attr 'unsafe-inline'",  # drawn charts set fonts and cursors on their elements
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def templates() -> Environment:
    """Where templates come from; whatever they put out is escaped and shows."""
    found = Environment(
        loader=FunctionLoader(asset),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
    )
    found.filters["amount"] = amount
    found.globals["MOST_ROWS"] = MOST_ROWS
    return found


def _finalize(value: Any) -> Any:
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    more = len(value) - KEPT
    return visible(value[:KEPT]) + (f" ... ({more} more characters)" if more > 0 else "")


def amount(value: float) -> str:
    """A number as people read it: whole ones with separators, others with four digits that count."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
