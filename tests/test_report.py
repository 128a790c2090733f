"""Reports as files: what a run has is there, and nothing that a model wrote gets out of its place."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import unicodedata
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers_report import toy_run
from sharpen.core.errors import BadInput, SharpenError
from sharpen.core.verdict import value_of
from sharpen.experiment.show import attempts_of
from sharpen.report.charts.base import Table
from sharpen.report.charts.graphs import layout
from sharpen.report.history import read_history
from sharpen.report.page import KEPT, SHOWN, Contrast, Cut, Page, Section, Side, Titled, asset, render
from sharpen.report.run_page import run_page
from sharpen.report.text import one_line, visible
from sharpen.report.write import write_report

HOSTILE = (
    "</script><script>document.title='out'</script>",
    "<img src=x onerror=\"document.title='out'\">",
    "<!--<script>",
    "]]></style><style>*{display:none}</style>",
    "{{ 7 * 7 }} {% raw %}",
    "\x1b[31m\x00\x07\r\x7f",
    "\u202edetrever\u202c \u200b\u2066x\u2069 \ufeff",
    "\ud800 lone",
    '"} , "mark": "image", {"',
    "datum.constructor('alert(1)')",
)
LIBRARY = asset("charts.js")
LIMIT = 1_500_000
"""Bytes of a report."""


class Seen(HTMLParser):
    """What a browser would see."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.text: list[str] = []
        self._inside = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag in ("script", "style"):
            (self.scripts if tag == "script" else self.styles).append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside == "style":
            self.styles[-1] += data
        else:
            self.text.append(data)


def said(text: str) -> Page:
    """A page that says a text wherever a page can say one."""
    side = Side(kind="wrong", verdict=text, critique=text, text=Cut.of(text))
    section = Section(
        name="all",
        title=text,
        notes=(text,),
        facts=((text, text),),
        tables=(Titled(title=text, table=Table(columns=(text, "n"), rows=((text, 1), (None, 0.5)))),),
        examples=(Contrast(task=text, question=Cut.of(text), before=side, after=side),),
    )
    return Page(kind=text, title=text, lead=text, warnings=(text,), sections=(section,))


def holds(html: str) -> Seen:
    """Check what every page must be, and return what is seen."""
    assert html.count(LIBRARY) == 1
    seen = Seen(html.replace(LIBRARY, "the library"))
    assert len(seen.scripts) == 4 and len(seen.styles) == 1
    for data in seen.scripts[:2]:
        json.loads(data)
        assert "<" not in data
    assert seen.scripts[2] == "the library" and seen.scripts[3].startswith(asset("page.js"))
    assert seen.styles == [asset("style.css")]
    for tag, attributes in seen.tags:
        assert tag not in ("iframe", "object", "embed", "link", "form", "base")
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "action", "data"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/png;base64,"))
    shown = "".join(seen.text)
    assert all(c in "\n\t" or unicodedata.category(c)[0] != "C" for c in shown)
    return seen


PLAIN = [tag for tag, _ in Seen(render(said("plain")).replace(LIBRARY, "")).tags]


@settings(max_examples=25, deadline=None)
@given(
    st.one_of(
        st.sampled_from(HOSTILE),
        st.text(min_size=1),
        st.text(st.characters(categories=["C", "Z", "P"]), min_size=1),
    )
)
def test_every_text_is_shown_as_text_and_nothing_else(text: str) -> None:
    seen = holds(render(said(text)))
    assert [tag for tag, _ in seen.tags] == PLAIN
    assert visible(text)[:SHOWN] in "".join(seen.text).replace("\r", "")


@given(st.text())
def test_what_does_not_show_is_spelled_out(text: str) -> None:
    shown = visible(text)
    assert all(c in "\n\t" or unicodedata.category(c)[0] != "C" for c in shown)
    assert visible(shown) == shown
    kept = "".join(c for c in text if c in "\n\t" or c.isprintable() or unicodedata.category(c) == "Zs")
    assert len(shown) >= len(text) and (shown == text) == (kept == text)


@given(st.text(), st.integers(1, 50))
def test_a_line_is_one_line_and_short(text: str, most: int) -> None:
    line = one_line(text, most)
    assert "\n" not in line and len(line) <= most + len(" ...")


def test_a_long_text_is_cut_and_says_so() -> None:
    text = "x" * 1_000_000
    html = render(said(text))
    assert len(html) < LIMIT
    cut = Cut.of(text)
    assert (len(cut.start), len(cut.start) + len(cut.rest), cut.dropped) == (SHOWN, KEPT, 1_000_000 - KEPT)
    assert f"{1_000_000 - KEPT} further characters are left out" in html


def test_the_policy_of_the_page_lets_only_its_own_scripts_run() -> None:
    seen = holds(render(said("x")))
    policy = next(a["content"] for _, a in seen.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'")
    for script in (LIBRARY, seen.scripts[3]):
        assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in policy
    scripts = next(part for part in policy.split("; ") if part.startswith("script-src "))
    assert "unsafe" not in scripts and "http" not in policy


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_run(tmp_path_factory.mktemp("runs") / "calm", rounds=3)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose model writes nothing but attacks, and one line of a megabyte."""
    words = "".join(HOSTILE).replace("\ud800", "")

    def say(text: str) -> str:
        return words + ("y" * 1_000_000 if text == "no idea" else "")

    return toy_run(tmp_path_factory.mktemp("runs") / "hostile", say=say)


def test_reports_a_run_that_is_not_finished(run: Path) -> None:
    written = write_report(run)
    html = written.file.read_text()
    seen = holds(html)
    assert written.file == run / "report.html" and written.bytes == len(html.encode()) < LIMIT
    titles = {attributes.get("id") for tag, attributes in seen.tags if tag == "section"}
    assert titles == {
        "scores",
        "exploration",
        "changes",
        "gates",
        "trees",
        "lineage",
        "growth",
        "spending",
        "settings",
    }
    assert "still sealed" in html and "mind the gap" in html
    charts = json.loads(seen.scripts[1])
    drawn = {
        attributes["id"] for _, attributes in seen.tags if (attributes.get("id") or "").startswith("plot-")
    }
    assert drawn == {f"plot-{name}" for name in charts} and len(charts) >= 9
    tables = sum(tag == "table" for tag, _ in seen.tags)
    assert tables >= len(charts)


def test_every_chart_has_words_and_numbers(run: Path) -> None:
    page = run_page(read_history(run))
    charts = [chart for section in page.sections for chart in section.charts]
    assert len({chart.name for chart in charts}) == len(charts)
    for chart in charts:
        assert re.fullmatch(r"[a-z0-9-]+", chart.name) and chart.title and chart.summary.endswith(".")
        assert chart.table.rows and all(len(row) == len(chart.table.columns) for row in chart.table.rows)
        json.dumps(chart.spec, allow_nan=False)
        assert "color" not in json.dumps(chart.spec.get("config", {}))


def test_flows_and_examples_agree_with_the_scores(run: Path) -> None:
    history = read_history(run)
    assert history.start is not None and len(history.moves) == 3
    for move, item in zip(history.moves, history.rounds, strict=True):
        moved = move.flows
        assert item.val is not None and item.val.mean is not None
        assert moved.wrong_to_right + moved.stayed_right == round(item.val.mean * item.val.n)
    first, last = history.scores("val", history.start), history.scores("val", history.versions[-1])
    assert len(history.examples) == sum(a != b for a, b in zip(first, last, strict=True))
    for example in history.examples:
        assert example.before.attempt and example.after.attempt
        assert example.before.attempt.task == example.after.attempt.task


def test_hostile_runs_stay_in_their_place(hostile: Path) -> None:
    html = write_report(hostile).file.read_text()
    seen = holds(html)
    assert "document.title='out'" in "".join(seen.text)
    assert len(html) < LIMIT and html.count("further characters are left out") >= 1


def test_refuses_what_is_no_run_and_no_place(run: Path, tmp_path: Path) -> None:
    with pytest.raises(SharpenError, match="no run"):
        write_report(tmp_path)
    for place in (tmp_path, tmp_path / "nowhere" / "x.html"):
        with pytest.raises(BadInput, match="out"):
            write_report(run, place)


@given(st.lists(st.integers(0, 30), max_size=60))
def test_a_drawn_forest_has_every_node_in_a_place_of_its_own(picks: list[int]) -> None:
    parents = [None if at == 0 or pick > at else pick % at for at, pick in enumerate(picks)]
    spots = layout(parents)
    assert len(set(spots)) == len(spots)
    for parent, spot in zip(parents, spots, strict=True):
        assert spot.depth == (0 if parent is None else spots[parent].depth + 1)


def test_the_library_cannot_end_its_script() -> None:
    for name in ("charts.js", "page.js"):
        assert not re.search(r"</script|<!--", asset(name), re.IGNORECASE)


def test_verdicts_are_shown_with_the_attempts_they_are_of(run: Path) -> None:
    """In the toy world an answer is right exactly if it is a number."""
    shown = attempts_of(run, "")
    assert len({len(item.attempt.response) for item in shown}) > 1
    for item in shown:
        assert item.verdict is not None
        assert (value_of(item.verdict) == 1) == item.attempt.response.isdecimal()
