"""The panel and the lines of a run while it goes."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from helpers_run import START, KillAfter, engine, loop, task_set
from sharpen.core.budget import Budget, Purpose, Usage
from sharpen.core.journal import Entry, Wall, read_rows
from sharpen.core.run import Run
from sharpen.core.verdict import Scored
from sharpen.report.live import Live
from sharpen.report.standing import Standing, duration


def heard(folder: Path, standing: Standing) -> list[str]:
    """Rounds that a toy run's listener says begin."""
    places: list[str] = []

    class Listening(KillAfter):
        def finished(self, entry: Entry, wall: Wall, result: object, *, replayed: bool) -> None:
            if standing.hear(entry, wall, result, replayed=replayed):
                places.append(standing.place)

    started = engine(folder, Listening())
    loop(Run(started), task_set(), START)
    started.journal.close()
    return places


def test_a_run_that_is_read_again_stands_where_it_stood(tmp_path: Path) -> None:
    limits = Budget(sampled_tokens=10_000, model_calls=7)
    first = Standing(limits)
    assert heard(tmp_path, first) == ["round 1", "round 2", "round 3"]
    again = Standing(limits, read_rows(tmp_path))
    assert heard(tmp_path, again) == ["round 1", "round 2", "round 3"]
    assert list(first.lines()) == list(again.lines())


def test_says_score_with_interval_budget_left_and_warnings(tmp_path: Path) -> None:
    standing = Standing(Budget(sampled_tokens=10_000))
    heard(tmp_path, standing)
    step = Entry(key="warn", verb="warn", inputs="", blob="", usage=Usage(), purpose=Purpose.METHOD)
    standing.hear(
        step, Wall(session="", elapsed=0, seconds=0, model_seconds=0), "mind \x1b[31m this", replayed=False
    )
    said = dict(standing.lines())
    assert said["round"] == "3"
    assert re.fullmatch(r"\d+\.\d% \(\d+\.\d to \d+\.\d\)", said["val score"])
    left = int(said["budget"].split()[0].replace(",", ""))
    assert 0 < left < 10_000 and said["budget"].endswith("of 10,000 sampled tokens left")
    assert said["warning"].startswith("mind")


def test_time_left_follows_from_the_rounds_that_are_over(tmp_path: Path) -> None:
    standing = Standing()
    standing.rounds = 4
    assert standing.seconds_left is None
    for number, seconds in ((1, 10.0), (2, 20.0), (3, 5.0)):
        entry = Entry(key=f"round.{number}/update", verb="update", inputs="", blob="")
        standing.hear(
            entry, Wall(session="", elapsed=0, seconds=seconds, model_seconds=0), None, replayed=False
        )
    assert standing.place == "round 3 of 4" and "about 25 s to go" in dict(standing.lines())["round"]
    assert standing.seconds_left == pytest.approx(2 * 15 - 5)
    assert [duration(s) for s in (40, 720, 12_600)] == ["40 s", "12 min", "3.5 h"]


@pytest.mark.parametrize("terminal", [True, False])
def test_shows_a_panel_on_a_terminal_and_plain_lines_elsewhere(tmp_path: Path, terminal: bool) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=100, force_terminal=terminal, color_system=None)
    with Live(console, Budget(sampled_tokens=10_000)) as live:
        started = engine(tmp_path)
        started.listener = live
        run = Run(started)
        loop(run, task_set(), START)
        run.warn("a \x1b[31mred\x1b[0m \u202eone")
        live.close()
        live._progress.refresh()
        started.journal.close()
    text = stream.getvalue()
    assert ("\x1b" in text) == terminal
    assert "\x1b[31m" not in text and "\u202e" not in text and r"\x1b[31mred" in text
    assert re.search(r"round +3", text) and "sampled tokens left" in text
    assert re.search(r"val score +\d+\.\d% \(\d+\.\d to \d+\.\d\)", text)


@pytest.mark.parametrize(("values", "said"), [((0.0, 1.0), "50.0% right"), ((-3.0, -1.0), "mean -2")])
def test_values_that_are_no_shares_are_not_called_right(values: tuple[float, ...], said: str) -> None:
    step = Entry(key="judge", verb="judge", inputs="", blob="", usage=Usage(), purpose=Purpose.METHOD)
    screen = Console(file=io.StringIO(), width=100)
    with Live(screen) as live:
        wall = Wall(session="", elapsed=0, seconds=60, model_seconds=0)
        live.finished(step, wall, tuple(Scored(value=value) for value in values), replayed=False)
        live.close()
    assert isinstance(screen.file, io.StringIO) and said in screen.file.getvalue()
