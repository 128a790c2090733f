"""A comparison runs every arm with every seed once, can be killed and extended, and refuses to be changed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from helpers_compare import RECIPE, go, timeless
from helpers_run import contents
from sharpen.core.errors import BadInput, Busy, Mismatch, SharpenError
from sharpen.core.journal import read_rows
from sharpen.executors.crew import LocalCrew
from sharpen.experiment.comparison import Comparison, Role, Standing
from sharpen.experiment.plan import arms_of
from sharpen.report.comparison import _round_ticks, print_comparison


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("recipe") / "nothing.py"
    file.write_text(RECIPE)
    return str(file)


@pytest.fixture(scope="module")
def finished(recipe: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Comparison, list[str]]:
    """A comparison of one method over two seeds, and the runs that it made."""
    folder, heard = tmp_path_factory.mktemp("league") / "out", list[str]()
    return folder, go(folder, recipe, 2, heard=heard), heard


def test_arms_are_read_as_written() -> None:
    text = "star,rft:lr=1e-4,epochs=2,b_star:temperatures=[0.6,1.0],again=star,hot=star:temperature=2"
    arms = arms_of(text)
    assert [(arm.name, arm.recipe, dict(arm.settings)) for arm in arms] == [
        ("star", "star", {}),
        ("rft", "rft", {"lr": 1e-4, "epochs": 2}),
        ("b_star", "b_star", {"temperatures": [0.6, 1.0]}),
        ("again", "star", {}),
        ("hot", "star", {"temperature": 2}),
    ]


@pytest.mark.parametrize("text", ["nosuch", "star:lr", "a b=star", "=star", "star:=1"])
def test_what_is_no_arm_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        arms_of(text)


def test_runs_every_arm_with_every_seed(finished: tuple[Path, Comparison, list[str]]) -> None:
    folder, found, heard = finished
    assert sorted(heard) == ["more-samples-3-s0", "more-samples-3-s1", "nothing-s0", "nothing-s1"]
    assert Comparison.model_validate_json((folder / "comparison.json").read_bytes()) == found
    assert [arm.name for arm in found.arms] == ["nothing", "no update", "more samples"]
    assert found.seeds == (0, 1) and found.arm("nothing").standing is Standing.UNCLEAR
    more = found.arm("more samples")
    assert more.role is Role.MORE_SAMPLES and more.test_tokens > 2 * found.arm("no update").test_tokens


def test_goes_on_for_rounds_until_the_budget_is_used(finished: tuple[Path, Comparison, list[str]]) -> None:
    arm = finished[1].arm("nothing")
    rounds = arm.settings["iterations"]
    assert isinstance(rounds, int) and rounds > 2
    assert 1 <= arm.share["sampled_tokens"] < 1.3
    assert all(run.stopped_by == "sampled_tokens" for run in arm.runs)
    assert [point.round for point in arm.curve] == list(range(len(arm.curve)))
    used = [point.usage.sampled_tokens for point in arm.curve]
    assert used == sorted(used) and used[-1] <= arm.usage.sampled_tokens


def test_more_seeds_and_recipes_extend_it(
    finished: tuple[Path, Comparison, list[str]], recipe: str, tmp_path: Path
) -> None:
    folder, heard = shutil.copytree(finished[0], tmp_path / "out"), list[str]()
    before = {path: path.read_bytes() for path in folder.glob("runs/*/result.json")}
    found = go(folder, f"third={recipe}:iterations=1", 3, heard=heard)
    assert sorted(heard) == ["more-samples-3-s2", "nothing-s2", "third-s0", "third-s1", "third-s2"]
    assert all(path.read_bytes() == result for path, result in before.items())
    assert found.seeds == (0, 1, 2) and len(found.arms) == 4 and len(found.pairs) == 6
    assert any("third ended by itself" in note for note in found.notes)
    heard.clear()
    assert go(folder, "", heard=heard) == found and not heard
    console = Console(width=80, record=True, file=StringIO())
    print_comparison(console, found)
    shown = console.export_text()
    assert "Over 3 seeds, no method does clearly better" in shown and "more samples x3" in shown


def test_it_cannot_be_changed(
    finished: tuple[Path, Comparison, list[str]], recipe: str, tmp_path: Path
) -> None:
    folder = finished[0]
    with pytest.raises(Mismatch, match="test: 6 -> 7"):
        go(folder, recipe, 1, test=7)
    with pytest.raises(BadInput, match="is already"):
        go(folder, f"{recipe}:seconds=0.5", 1)
    changed = tmp_path / "nothing.py"
    changed.write_text(RECIPE + "\n")
    moved = shutil.copytree(folder, tmp_path / "out")
    plan = moved / "plan.json"
    plan.write_text(plan.read_text().replace(recipe, str(changed)))
    with pytest.raises(Mismatch, match="nothing-s0: recipe code"):
        go(moved, str(changed), 2)
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "mine.txt").touch()
    with pytest.raises(BadInput, match="other things"):
        go(tmp_path / "else", recipe, 1)


def test_what_cannot_run_here_is_refused_before_any_work(tmp_path: Path, recipe: str) -> None:
    folder = tmp_path / "out"
    with pytest.raises(BadInput, match=r"'star, grpo': star cannot run here.*needs train"):
        go(folder, f"{recipe},star,grpo", 1, model="none")
    with pytest.raises(BadInput, match=r"'negotiation': .*is for the actor single_turn.*knows episodes"):
        go(folder, f"{recipe},negotiation", 1)
    assert not (folder / "runs").exists() and not (folder / "plan.json").exists()


def test_killed_twice_it_ends_in_the_same_runs(recipe: str, tmp_path: Path) -> None:
    """kill -9 of the process alone: its runs end with it, and the same command goes on to the same end."""
    arms, folder = f"{recipe}:seconds=0.05", tmp_path / "out"
    for rows in (3, 9):
        killed(folder, arms, rows)
    found, whole = go(folder, arms, 1), go(tmp_path / "whole", arms, 1)
    assert timeless(found) == timeless(whole)
    for run in (tmp_path / "whole" / "runs").iterdir():
        assert contents(run) == contents(folder / "runs" / run.name)


def killed(folder: Path, arms: str, rows: int) -> None:
    """Start the comparison in a process of its own and kill that when its run has so many rows."""
    program = (
        f"import helpers_compare as h, pathlib; h.go(pathlib.Path({str(folder)!r}), {arms!r}, 1, preload=())"
    )
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    child = subprocess.Popen([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": path})
    run = folder / "runs" / "nothing-s0"
    while child.poll() is None and journaled(run) < rows:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    deadline = time.monotonic() + 20
    while any(map(alive, folder.glob("runs/*/lock"))):
        assert time.monotonic() < deadline, "a run outlived its owner"
        time.sleep(0.05)


def journaled(folder: Path) -> int:
    return len(list(read_rows(folder))) if (folder / "journal.sqlite").is_file() else 0


def alive(lock: Path) -> bool:
    """Whether the process that last held a run is there, and no zombie."""
    try:
        return Path(f"/proc/{lock.read_text()}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def end_with(code: int) -> None:
    os._exit(code)


def refuse() -> None:
    raise Busy("it is in use", remedy="wait")


def test_a_crew_says_how_work_ended() -> None:
    with LocalCrew(2) as crew:
        crew.start("bad", end_with, 3)
        crew.start("refused", refuse)
        assert not crew.free
        told = {ended.key: ended.error for ended in (crew.wait(), crew.wait())}
        assert not crew.busy
    assert isinstance(told["bad"], SharpenError) and "status 3" in told["bad"].problem
    assert told["refused"] is not None and told["refused"].problem == "it is in use"


@given(st.floats(1e-3, 1e9))
def test_ticks_are_few_and_within(most: float) -> None:
    ticks = _round_ticks(most)
    assert 2 <= len(ticks) <= 6 and ticks[0] == 0 and ticks[-1] <= most * 1.000001
