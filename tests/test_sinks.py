"""Every tracker is told the same of a run, in its own store; one that fails or hangs changes nothing."""

from __future__ import annotations

import json
import shutil
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import ExitStack, closing
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

from helpers_compare import ASKED, RECIPE
from sharpen.core.errors import BadInput, Unavailable
from sharpen.core.plugins import names
from sharpen.experiment.check_recipe import StopAfter
from sharpen.experiment.execute import execute
from sharpen.experiment.result import Result
from sharpen.experiment.spec import RunSpec
from sharpen.report.sinks import follow
from sharpen.report.sinks.follow import PACKAGE, State, asked_for, following

SINKS = tuple(names(PACKAGE, defines="open_sink"))
HERE = tuple(name for name in SINKS if find_spec(name) is not None)
BROKEN = '''"""Fails or hangs."""
import time
PACKAGE = "sharpen"


class Slow:
    def numbers(self, step, values):
        time.sleep(600)

    def close(self, *, ended):
        pass


def open_sink(about, *, hangs: bool = False):
    if hangs:
        return Slow()
    raise SystemExit(3)
'''


NOTING = '''"""Writes down what it is told."""
PACKAGE = "sharpen"


class Notes:
    def __init__(self, path):
        self.path = path

    def numbers(self, step, values):
        with self.path.open("a") as file:
            file.write(f"{step}\\n")

    def close(self, *, ended):
        with self.path.open("a") as file:
            file.write(f"{ended}\\n")


def open_sink(about):
    return Notes(about.beside / "noted.txt")
'''


KNOBS = [(1, 1.0), (2, 2.0), (3, 3.0)]
"""What the run measures, by round."""


class Told(NamedTuple):
    runs: Path
    result: Result
    warnings: list[str]

    @property
    def after(self) -> list[float | None]:
        return [self.result.test.after.mean]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """A run of three rounds that stops after its first, goes on later, and is looked at once more."""
    runs = tmp_path_factory.mktemp("runs")
    (runs / "nothing.py").write_text(RECIPE)
    spec = RunSpec(recipe=str(runs / "nothing.py"), settings={"iterations": 3}, **ASKED)
    folder, warnings = runs / "one", list[str]()

    def warned(text: str) -> None:
        logs = (path.read_text() for path in sorted(folder.glob("sinks/*.log")))
        warnings.append("\n".join((text, *logs)))

    with pytest.MonkeyPatch.context() as patch:
        # Four clients that are imported at once on a machine with other work are slow; they do not hang.
        patch.setattr(follow, "PATIENCE", 600.0)
        with pytest.raises(KeyboardInterrupt), following(folder, asked_for(HERE), warned):
            execute(spec, folder, StopAfter(13))
        for sinks in (HERE, HERE[:2]):
            with following(folder, asked_for(sinks), warned):
                result = execute(spec, folder, StopAfter(None))
    yield Told(runs, result, warnings)


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(name not in HERE, reason=f"package {name} is not installed")


def test_there_are_four() -> None:
    assert SINKS == ("mlflow", "tensorboard", "trackio", "wandb")


def test_nothing_went_wrong_and_everything_is_noted(told: Told) -> None:
    assert told.warnings == []
    for name in HERE:
        state = State.model_validate_json((told.runs / "one" / "sinks" / f"{name}.json").read_bytes())
        assert state == State(round=3, head=told.result.journal_head)


@needs("tensorboard")
def test_tensorboard(told: Told) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(told.runs / "tensorboard" / "one"))
    found.Reload()
    told_of = {
        name: [(e.step, e.tensor_proto.float_val[0]) for e in found.Tensors(name)]
        for name in ("own/knob", "val/score", "test/after")
    }
    assert told_of["own/knob"] == KNOBS and len(told_of["val/score"]) == 3
    assert [value for _, value in told_of["test/after"]] == told.after


@needs("mlflow")
def test_mlflow(told: Told) -> None:
    with closing(sqlite3.connect(told.runs / "mlflow.db")) as database:
        ((name, status),) = database.execute("SELECT name, status FROM runs").fetchall()
        ask = "SELECT step, value FROM metrics WHERE key = ? ORDER BY step"
        knobs, val = (database.execute(ask, (key,)).fetchall() for key in ("own/knob", "val/score"))
        ((_, after),) = database.execute(ask, ("test/after",)).fetchall()
        parameters = dict(database.execute("SELECT key, value FROM params").fetchall())
    assert (name, status) == ("one", "FINISHED")
    assert knobs == KNOBS and len(val) == 3 and [after] == told.after
    assert parameters["recipe"] == "nothing" and parameters["seed"] == "0"


@needs("mlflow")
def test_runs_side_by_side_tell_one_database(told: Told) -> None:
    """Each makes the tables and the experiment if it comes first."""
    spec, runs = told.result.spec, ("a", "b")
    place, warnings = told.runs / "side", list[str]()
    with ExitStack() as all_told:
        for name in runs:
            all_told.enter_context(following(place / name, asked_for(["mlflow"]), warnings.append))
        for name in runs:
            execute(spec, place / name, StopAfter(None))
    with closing(sqlite3.connect(place / "mlflow.db")) as database:
        found = database.execute("SELECT name, status FROM runs ORDER BY name").fetchall()
        ask = "SELECT COUNT(*) FROM metrics WHERE key = 'own/knob'"
        ((count,),) = database.execute(ask).fetchall()
    assert warnings == [] and found == [(name, "FINISHED") for name in runs] and count == 2 * len(KNOBS)


@needs("wandb")
def test_wandb_offline(told: Told) -> None:
    rows = [row for path in sorted(told.runs.glob("wandb/offline-run-*/*.wandb")) for row in wandb_rows(path)]
    assert [(row["round"], row["own/knob"]) for row in rows if "own/knob" in row] == KNOBS
    assert [row["test/after"] for row in rows if "test/after" in row] == told.after


def wandb_rows(path: Path) -> Iterator[dict[str, float]]:
    """What was logged into one file: a log of LevelDB's format, whose records are protocol buffers."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place = path.read_bytes(), 7
    assert data.startswith(b":W&B") and len(data) < 1 << 15, "more than the one block that this can read"
    while place + 7 <= len(data):
        _, length, kind = struct.unpack_from("<IHB", data, place)
        assert kind == 1, "a record that is whole"
        record = Record()
        record.ParseFromString(data[place + 7 : place + 7 + length])
        place += 7 + length
        if items := record.history.item:
            yield {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}


@needs("trackio")
def test_trackio(told: Told) -> None:
    with closing(sqlite3.connect(told.runs / "trackio" / "sharpen.db")) as database:
        found = database.execute("SELECT step, metrics FROM metrics ORDER BY id").fetchall()
    rows = [(step, json.loads(metrics)) for step, metrics in found]
    assert [(step, values["own/knob"]) for step, values in rows if "own/knob" in values] == KNOBS
    assert [values["test/after"] for _, values in rows if "test/after" in values] == told.after


def test_one_that_fails_or_hangs_changes_nothing(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("fails", "hangs"):
        (tmp_path / f"{name}.py").write_text(BROKEN)
    monkeypatch.setattr(follow, "PATIENCE", 1.0)
    asked = asked_for([str(tmp_path / "fails.py"), f"{tmp_path / 'hangs.py'}?hangs=true"])
    warnings: list[str] = []
    with following(tmp_path / "run", asked, warnings.append):
        result = execute(told.result.spec, tmp_path / "run", StopAfter(None))
    assert result.journal_head == told.result.journal_head
    assert len(warnings) == 2 and "failed" in warnings[0] and "hung" in warnings[1]
    assert "in numbers" in (tmp_path / "run" / "sinks" / "hangs.log").read_text(), (
        "the log says where it hung"
    )


def test_a_run_that_is_over_before_it_was_seen_is_told_of(told: Told, tmp_path: Path) -> None:
    (tmp_path / "noting.py").write_text(NOTING)
    warnings: list[str] = []
    with following(tmp_path / "run", asked_for([str(tmp_path / "noting.py")]), warnings.append):
        shutil.copytree(told.runs / "one", tmp_path / "elsewhere", ignore=shutil.ignore_patterns("sinks"))
        (tmp_path / "elsewhere").rename(tmp_path / "run")
    assert warnings == []
    assert (tmp_path / "noted.txt").read_text().split() == ["1", "2", "3", "3", "True"]


def test_what_cannot_be_told_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such sink"):
        asked_for(["nosuch"])
    with pytest.raises(BadInput, match="no such option"):
        asked_for([f"{HERE[0]}?nosuch=1"] if HERE else ["nosuch"])
    missing = tmp_path / "missing.py"
    missing.write_text(BROKEN.replace('"sharpen"', '"no_such_package"'))
    with pytest.raises(Unavailable, match="not installed"):
        asked_for([str(missing)])
