"""Text curves and tables of rounds."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from sharpen.core.budget import Usage
from sharpen.core.stats import Interval, mean_interval
from sharpen.experiment.result import Round
from sharpen.report.summary import print_rounds
from sharpen.report.terminal import curve, print_curve

score = st.one_of(st.none(), st.floats(0, 1))
UNKNOWN = Interval(mean=None, low=None, high=None, n=0)


def interval(mean: float | None) -> Interval:
    if mean is None:
        return UNKNOWN
    return Interval(mean=mean, low=mean - 0.1, high=mean + 0.1, n=9)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(score, score), min_size=1, max_size=30), st.integers(10, 200))
def test_fits_and_has_no_control_characters(
    rows: list[tuple[float | None, float | None]], width: int
) -> None:
    series: dict[str, list[Interval | None]] = {
        "method": [interval(a) for a, _ in rows],
        "control": [interval(b) for _, b in rows],
    }
    text = curve("score", range(len(rows)), series, width=width)
    assert all(len(line) <= max(30, min(width, 100)) for line in text.splitlines())
    assert "\x1b" not in text and "score" in text


def test_shows_each_series_and_its_bars() -> None:
    series = {
        "method": [mean_interval([0.0] * 9 + [1.0]), mean_interval([1.0] * 9 + [0.0])],
        "control": [mean_interval([0.0] * 8 + [1.0] * 2)] * 2,
    }
    text = curve("score by round", [0, 1], series, width=60)
    assert text.splitlines()[-1] == "• method   x control"
    assert text.count("•") > 5 and text.count("x") > 3 and "│" in text


def test_unknown_is_said() -> None:
    assert curve("score", [0, 1], {"method": [UNKNOWN, None]}, width=60) == "score: unknown"
    assert curve("score", [], {}, width=60) == "score: unknown"


def test_prints_without_a_terminal() -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=50)
    print_curve("score [bold]", [0, 1], {"[red]": [interval(0.2), interval(0.4)]}, console=console)
    assert "score [bold]" in stream.getvalue() and "[red]" in stream.getvalue()


def test_misaligned_is_refused() -> None:
    with pytest.raises(ValueError):
        curve("score", [0, 1], {"method": [interval(0.5)]}, width=60)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.integers(1, 20))
def test_all_of_a_methods_own_numbers_are_legible(rounds: int, count: int) -> None:
    names = [f"quantity_{place}" for place in range(count)]
    shown = [
        Round(
            round=number,
            exploration=None,
            val=None,
            gate=None,
            measures=dict.fromkeys(names, number + 0.25),
            usage=Usage(),
        )
        for number in range(1, rounds + 1)
    ]
    text = io.StringIO()
    print_rounds(Console(file=text, width=100), "method", None, shown)
    table = " ".join(text.getvalue().split()).partition("numbers")[2]
    assert all(f"quantity {place}" in table for place in range(count if count > 8 else 0))
    assert "1.25" in table and f"{rounds + 0.25}" in table
