"""Whoever makes a chunk of attempts, the run is the same: rows, order, bytes, also after a kill."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from helpers_run import START, KillAfter, Killed, ToyActor, contents, engine, loop, task_set
from sharpen.core.ahead import Begun
from sharpen.core.attempt import Attempt
from sharpen.core.errors import BadInput, Damaged, Unavailable
from sharpen.core.policy import Decoding, Job, Policy
from sharpen.core.run import Run
from sharpen.executors.hands import Files, Hand, Refused
from sharpen.executors.pool import JudgePool
from sharpen.executors.shared import SharedFolder
from sharpen.executors.source import open_crew, open_pool
from sharpen.experiment import execute as executing
from sharpen.experiment.check_recipe import StopAfter, small_spec
from sharpen.experiment.engines import Wanted, open_engine, open_engines, wanted_by
from sharpen.experiment.spec import Request
from sharpen.models.base import Model
from sharpen.models.source import open_model


class Far:
    """Makes attempts when they are asked for, and knows what was begun."""

    def __init__(self, near: ToyActor, width: int) -> None:
        self.near, self.width = near, width
        self.going: set[int] = set()
        self.begun = self.most = 0

    def act(self, policy: Policy, jobs: Sequence[Job], decoding: Decoding) -> list[Attempt]:
        raise AssertionError("all are begun")

    def begin(self, policy: Policy, jobs: Sequence[Job], decoding: Decoding) -> Begun[Attempt]:
        number = self.begun = self.begun + 1
        self.going.add(number)
        self.most = max(self.most, len(self.going))

        def results() -> list[Attempt]:
            self.going.remove(number)
            return self.near.act(policy, jobs, decoding)

        return Begun(results, lambda: self.going.discard(number))


def run_toy(folder: Path, width: int = 0, *, rows: int | None = None) -> Far | None:
    work = engine(folder, KillAfter(rows))
    far = Far(ToyActor(work.store), width) if width else None
    work.actor = far or work.actor
    try:
        loop(Run(work), task_set(), START)
    finally:
        work.journal.close()
    return far


@pytest.mark.parametrize("width", [1, 2, 5])
def test_rows_are_the_same_however_many_chunks_are_begun(tmp_path: Path, width: int) -> None:
    run_toy(tmp_path / "near")
    far = run_toy(tmp_path / "far", width)
    assert far is not None
    assert far.most == min(width, 5)
    assert contents(tmp_path / "far") == contents(tmp_path / "near")


def test_a_killed_run_begins_again_with_what_is_not_in_its_journal(tmp_path: Path) -> None:
    whole = run_toy(tmp_path / "whole", 3)
    for rows in (4, 3):
        with pytest.raises(Killed):
            run_toy(tmp_path / "killed", 3, rows=rows)
    rest = run_toy(tmp_path / "killed", 3)
    assert whole is not None
    assert rest is not None
    assert rest.begun < whole.begun
    assert not rest.going
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


class Here:
    """Two hands in this process; they get files as another machine would."""

    count = 2

    def __init__(
        self, wanted: Wanted, fetch: Callable[[Any, Path], None], send: Callable[..., object]
    ) -> None:
        self.hands = [Hand(open_engine, (wanted,), fetch) for _ in range(self.count)]
        assert [hand.ready({}) for hand in self.hands] == [None, None]
        self.send = send
        self.pieces = 0

    def begin(self, work: object, files: Mapping[str, Path]) -> Begun[Any]:
        self.pieces += 1
        hand = self.hands[self.pieces % self.count]
        parcels = {sha: self.send(sha, path) for sha, path in files.items()}

        def results() -> list[Any]:
            said = hand.do(work, parcels)
            assert not isinstance(said, Refused), said
            return said

        return Begun(results, lambda: None)


def copied(parcel: Path, target: Path) -> None:
    target.write_bytes(parcel.read_bytes())


def test_engines_make_what_the_driver_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts and trees alike; with training in between, so that weights travel through a shared folder."""
    spec = small_spec("mcts_dpo").model_copy(update={"chunk_rows": 4})
    executing.execute(spec, tmp_path / "near", StopAfter(None))
    shared = SharedFolder(str(tmp_path / "shared"))
    made: list[Here] = []

    def engines(request: Request, pool: object, model: Model) -> Here:
        def send(sha: str, path: Path) -> str:
            shared.offer(sha, path)
            return sha

        made.append(Here(wanted_by(request, model), SharedFolder(shared.url).fetch, send))
        return made[0]

    monkeypatch.setattr(executing, "open_engines", engines)
    executing.execute(spec, tmp_path / "far", StopAfter(None))
    assert made[0].pieces > 8
    assert list((tmp_path / "shared").iterdir()), "weights have travelled"
    assert contents(tmp_path / "far") == contents(tmp_path / "near")


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("code", "other", "code: .*'other'"),
        ("fingerprint", "other", "model scripted:echo: .*'other'"),
        ("device", "cuda", "gives an engine no GPU"),
        ("model", "scripted:nobody", "nobody"),
    ],
)
def test_what_is_not_the_same_is_refused(field: str, value: str, why: str) -> None:
    request = Request(model="scripted:echo")
    wanted = wanted_by(request, open_model(request.model))
    assert Hand(open_engine, (wanted,), copied).ready({}) is None
    refused = Hand(open_engine, (wanted.model_copy(update={field: value}),), copied).ready({})
    assert refused is not None
    assert re.search(why, refused.problem)


def test_files_come_whole_or_not_at_all(tmp_path: Path) -> None:
    files, source = Files(copied), tmp_path / "source"
    source.write_bytes(b"weights")
    sha = hashlib.sha256(b"weights").hexdigest()
    files.want({sha: source})
    assert files.store.get(sha) == b"weights"
    with pytest.raises(Damaged, match="another machine"):
        files.want({"0" * 64: source})
    assert files.store.intact(sha)


def test_only_the_latest_files_are_kept(tmp_path: Path) -> None:
    files, shas = Files(copied), []
    for number in range(7):
        source = tmp_path / str(number)
        source.write_bytes(str(number).encode())
        shas.append(hashlib.sha256(source.read_bytes()).hexdigest())
        files.want({shas[0]: tmp_path / "0", shas[-1]: source})
    assert [files.store.intact(sha) for sha in shas] == [True, False, False, True, True, True, True]


@pytest.mark.parametrize("executor", ["slurm?engines=2", "ray?engine=2", "ray?engines=-1", "ray?engines=two"])
def test_executors_that_mean_nothing_are_refused(executor: str) -> None:
    with pytest.raises(BadInput):
        open_pool(executor)


class Paid:
    """A model behind an endpoint, as far as engines look at it."""

    name, fingerprint, dollars = "openai:x", "x", 0.0


def test_endpoints_take_no_engines() -> None:
    model: Any = Paid()
    with JudgePool() as pool:
        assert open_engines(Request(), pool, model) is None
        with pytest.raises(BadInput, match="asked in parallel"):
            open_engines(Request(executor="ray?engines=2"), pool, model)


def test_comparisons_take_no_engines() -> None:
    with pytest.raises(BadInput, match="whole runs"):
        open_crew("ray?engines=2", None)


def test_shared_folders_that_cannot_be_are_refused(tmp_path: Path) -> None:
    source = tmp_path / "x"
    source.write_bytes(b"x")
    with pytest.raises(BadInput, match="nowhere"):
        SharedFolder("nowhere://x")
    with pytest.raises(Unavailable, match="written to"):
        SharedFolder(str(source / "below")).offer("0" * 64, source)
    with pytest.raises(Unavailable, match="read"):
        SharedFolder(str(tmp_path)).fetch("0" * 64, tmp_path / "y")
