"""Tables of runs: each run in one line, as wide as there is room."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from helpers_report import toy_run
from sharpen.core.errors import BadInput
from sharpen.core.journal import Journal
from sharpen.core.stats import Interval
from sharpen.experiment.show import RunInfo, list_runs
from sharpen.report.history import read_history
from sharpen.report.listing import print_runs, print_unfinished

GAIN = Interval(mean=0.125, low=-0.05, high=0.3, n=40)
info = st.builds(
    RunInfo,
    folder=st.text(min_size=1),
    recipe=st.text(min_size=1),
    model=st.text(),
    task=st.text(),
    seed=st.integers(0, 10**6),
    state=st.sampled_from(["done", "running", "unfinished", "budget: environment_steps"]),
    after=st.sampled_from([None, GAIN]),
    gain=st.sampled_from([None, GAIN]),
    steps=st.integers(0, 10**7),
    changed=st.sampled_from([0.0, 1.7e9]),
)


def printed(runs: list[RunInfo], width: int, *, terminal: bool) -> list[str]:
    stream = io.StringIO()
    print_runs(Console(file=stream, width=width, force_terminal=terminal, color_system=None), runs)
    return stream.getvalue().splitlines()


@settings(max_examples=40, deadline=None)
@given(st.lists(info, min_size=1, max_size=4), st.integers(100, 200), st.booleans())
def test_every_run_is_one_line_that_fits(runs: list[RunInfo], width: int, terminal: bool) -> None:
    lines = printed(runs, width, terminal=terminal)
    rows = [line for line in lines if line.strip()]
    assert len(rows) == len(runs) + 2
    assert all(cell_len(line) <= (width if terminal else max(width, 160)) for line in lines)
    for row, run in zip(rows[2:], runs, strict=True):
        assert run.state in row
        assert ("+12.5% (-5.0 to +30.0)" in row) == (run.gain is not None)


def test_runs_of_comparisons_are_listed_and_told_apart(tmp_path: Path) -> None:
    names = ["alone", "a-comparison-of-recipes/runs/nothing-s0", "a-comparison-of-recipes/runs/nothing-s1"]
    for name in names:
        Journal(tmp_path / name).close()
    (tmp_path / "linked").symlink_to(tmp_path / "alone")
    found = list_runs(tmp_path)
    assert [run.name for run in found] == sorted(names)
    assert [Path(run.folder) for run in found] == [tmp_path / name for name in sorted(names)]
    for rows in (printed(found, 160, terminal=False), printed(found, 60, terminal=True)):
        assert [any(f"nothing-s{seed} " in row for row in rows) for seed in (0, 1)] == [True, True]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="none"):
        list_runs(tmp_path / "none")


def test_shows_the_rounds_of_a_run_that_is_not_finished(tmp_path: Path) -> None:
    folder = toy_run(tmp_path / "toy", say=lambda text: f"{text}\x1b[31m\u202e")
    (found,) = list_runs(tmp_path)
    assert (found.state, found.after, found.gain) == ("unfinished", None, None)
    assert found.changed > 0 and found.steps > 10
    stream = io.StringIO()
    print_unfinished(Console(file=stream, width=100), read_history(folder))
    text = stream.getvalue()
    assert "not finished" in text and "sharpen resume" in text and r"mind the gap\x1b[31m\u202e" in text
    assert "\x1b" not in text and "\u202e" not in text
