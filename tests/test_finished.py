"""A finished run is told from its records alone, unless anything about it has changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from trust.refusals import flip_in_result

from sharpen.core.budget import Budget
from sharpen.core.errors import Damaged
from sharpen.core.journal import read_rows
from sharpen.core.seeds import random_for
from sharpen.experiment import assemble
from sharpen.experiment.check_recipe import StopAfter, small_spec
from sharpen.experiment.execute import execute
from sharpen.experiment.result import Result, read_file
from sharpen.experiment.show import read_result
from sharpen.experiment.spec import RunSpec
from sharpen.models.source import local_fingerprint, open_model

SPEC = small_spec("star")


class Opened(Exception):
    """The model is wanted."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    folder = tmp_path_factory.mktemp("finished") / "run"
    return folder, execute(SPEC, folder, StopAfter(None))


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*words: object, **options: object) -> None:
        raise Opened

    monkeypatch.setattr(assemble, "open_model", refuse)


def again(folder: Path, spec: RunSpec = SPEC) -> Result:
    return execute(spec, folder, StopAfter(None))


@pytest.mark.usefixtures("no_model")
def test_the_same_command_opens_no_model_and_changes_nothing(run: tuple[Path, Result]) -> None:
    folder, result = run
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert again(folder) == Result.model_validate_json((folder / "result.json").read_bytes())
    assert again(folder).journal_head == result.journal_head
    assert {path: path.read_bytes() for path in before} == before


def without_result(folder: Path) -> Path:
    return folder / "result.json"


def a_stored_file(folder: Path) -> Path:
    sha = [row.entry.blob for row in read_rows(folder)][-2]
    return folder / "store" / sha[:2] / sha


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize("which", [without_result, a_stored_file])
@pytest.mark.parametrize("contents", [b"", b"{}"])
def test_what_is_damaged_is_looked_into(
    run: tuple[Path, Result], which: Callable[[Path], Path], contents: bytes
) -> None:
    path = which(run[0])
    kept = path.read_bytes()
    path.write_bytes(contents)
    try:
        with pytest.raises(Opened):
            again(run[0])
    finally:
        path.write_bytes(kept)


TIMES = {"wall_seconds", "start_seconds", "model_time_share", "weights", "seal"}


def test_no_flipped_bit_of_a_result_is_shown(run: tuple[Path, Result]) -> None:
    rng = random_for("flips", "result")
    found = [flip_in_result(run[0], [], rng) for _ in range(300)]
    assert "missed" not in found and found.count("refused") > 250


def test_a_changed_result_is_named_and_made_again_from_the_journal(
    run: tuple[Path, Result], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(run[0], tmp_path / "run"))
    path = folder / "result.json"
    kept = path.read_text()
    mean = f'"mean": {run[1].test.before.mean}'
    changed = kept.replace(mean, '"mean": 0.987', 1)
    assert changed != kept
    path.write_text(changed)
    with pytest.raises(Damaged, match=r"result\.json was changed .*sharpen resume"):
        read_result(folder)
    again(folder)
    assert read_result(folder).model_dump(exclude=TIMES) == run[1].model_dump(exclude=TIMES)


@pytest.mark.usefixtures("no_model")
def test_results_of_versions_without_seals_are_read_but_told_from_the_journal(
    run: tuple[Path, Result], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(run[0], tmp_path / "run"))
    plain = json.loads((folder / "result.json").read_text())
    del plain["seal"]
    (folder / "result.json").write_text(json.dumps(plain))
    assert read_file(folder / "result.json") == run[1].model_copy(update={"seal": ""})
    with pytest.raises(Opened):
        again(folder)


@pytest.mark.usefixtures("no_model")
@pytest.mark.parametrize(
    "changes",
    [{"seed": 9}, {"budget": Budget(sampled_tokens=1e9)}, {"test": SPEC.test + 1}, {"verifier": "exact"}],
)
def test_what_is_asked_otherwise_is_looked_into(run: tuple[Path, Result], changes: dict[str, object]) -> None:
    with pytest.raises(Opened):
        again(run[0], SPEC.model_copy(update=changes))


@pytest.mark.usefixtures("no_model")
def test_other_code_and_other_weights_are_looked_into(
    run: tuple[Path, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sharpen.experiment import finished

    for name in ("code_fingerprint", "local_fingerprint"):
        with monkeypatch.context() as patched, pytest.raises(Opened):
            patched.setattr(finished, name, lambda *words: "another")
            again(run[0])


def test_the_fingerprint_is_that_of_the_open_model() -> None:
    assert local_fingerprint("tiny") == open_model("tiny", threads=1).fingerprint
    assert [local_fingerprint(name) for name in ("none", "openai:x", "scripted:y", "painter")] == [None] * 4
