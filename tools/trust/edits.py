"""T3: a run that something was changed of is refused, with the name of what differs."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from unittest.mock import patch

from pydantic import JsonValue

import sharpen
from sharpen.core.errors import Damaged, Mismatch, SharpenError
from sharpen.core.journal import read_rows
from sharpen.experiment import assemble, manifest
from sharpen.experiment.check_recipe import StopAfter
from sharpen.experiment.execute import execute
from sharpen.experiment.spec import RunSpec

RECIPE = '''"""Looks at a few answers."""
from sharpen.core.policy import Policy
from sharpen.core.recipe import recipe
from sharpen.core.records import Record
from sharpen.core.run import Run
from sharpen.core.task import Channel, TaskSet

class Config(Record):
    count: int = 2

@recipe(paper="-", improves="nothing", sees=Channel.LABEL)
def look(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    run.judge(run.attempt(policy, tasks.train[: config.count]), tasks.train)
    return policy
'''
VERIFIER = "def verify(response, task): return response.strip() == task.answer\n"


class Place(NamedTuple):
    """A stopped run, and the files it was made with."""

    root: Path
    spec: RunSpec

    @property
    def run(self) -> Path:
        """The run's folder."""
        return self.root / "run"


def prepared(root: Path) -> Place:
    """Make every kind of file that a run can depend on, begin a run, and stop it."""
    (root / "look.py").write_text(RECIPE)
    (root / "check.py").write_text(VERIFIER)
    rows = [{"question": f"{n}+{n + 1}=", "answer": str(2 * n + 1)} for n in range(40)]
    (root / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    shutil.copytree(Path(sharpen.__file__).parent / "models" / "tiny", root / "model")
    spec = RunSpec(
        recipe=str(root / "look.py"),
        task=str(root / "sums.jsonl"),
        model=str(root / "model"),
        verifier=f"{root / 'check.py'}:verify",
        train=8,
        val=4,
        test=4,
        max_tokens=4,
        threads=1,
        control_samples=1,
    )
    place = Place(root, spec)
    try:
        execute(spec, place.run, StopAfter(3))
    except KeyboardInterrupt:
        return place
    raise AssertionError("the run was not stopped")


def asked(**changes: Any) -> Callable[[Place], Any]:
    """The same command with other options."""

    @contextmanager
    def edit(place: Place) -> Iterator[Place]:
        yield place._replace(spec=place.spec.model_copy(update=changes))

    return edit


@contextmanager
def reseeded(place: Place) -> Iterator[Place]:
    """The same file, split by another seed."""
    yield place._replace(spec=place.spec.model_copy(update={"task": f"{place.spec.task}?data_seed=5"}))


def rewritten(name: str, change: Callable[[bytes], bytes]) -> Callable[[Place], Any]:
    """A file with other contents."""

    @contextmanager
    def edit(place: Place) -> Iterator[Place]:
        path = place.root / name
        kept = path.read_bytes()
        path.write_bytes(change(kept))
        try:
            yield place
        finally:
            path.write_bytes(kept)

    return edit


def released(where: Any, name: str, value: Any) -> Callable[[Place], Any]:
    """Another release of a package."""

    @contextmanager
    def edit(place: Place) -> Iterator[Place]:
        with patch.object(where, name, lambda: value):
            yield place

    return edit


def rows_changed(*statements: str) -> Callable[[Place], Any]:
    """A journal that somebody wrote in."""

    @contextmanager
    def edit(place: Place) -> Iterator[Place]:
        kept = (place.run / "journal.sqlite").read_bytes()
        with closing(sqlite3.connect(place.run / "journal.sqlite")) as database, database:
            for statement in statements:
                database.execute(statement)
        try:
            yield place
        finally:
            (place.run / "journal.sqlite").write_bytes(kept)

    return edit


@contextmanager
def other_manifest(place: Place) -> Iterator[Place]:
    """The stored manifest with another seed in it."""
    blob = next(read_rows(place.run)).entry.blob
    with rewritten(f"run/store/{blob[:2]}/{blob}", lambda data: data.replace(b'"seed":0', b'"seed":1'))(
        place
    ):
        yield place


def _weights(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def _numpy() -> dict[str, str]:
    return {**manifest.versions(), "numpy": "1.0"}


class Edit(NamedTuple):
    """A change, and what the refusal must name."""

    make: Callable[[Place], Any]
    named: str


EDITS: Mapping[str, Edit] = {
    "seed": Edit(asked(seed=1), "seed"),
    "setting of the recipe": Edit(asked(settings={"count": 3}), "config.count"),
    "training tasks": Edit(asked(train=7), "task set"),
    "validation tasks": Edit(asked(val=3), "task set"),
    "test tasks": Edit(asked(test=3), "task set"),
    "data seed": Edit(reseeded, "task:"),
    "verifier": Edit(asked(verifier="numeric"), "verifier"),
    "held-back verifier": Edit(asked(held_back="exact"), "held-back"),
    "prompt style": Edit(asked(style="chat"), "prompt.style"),
    "instruction": Edit(asked(instruction="Think."), "prompt.instruction"),
    "shots": Edit(asked(shots=1), "prompt.shots"),
    "longest response": Edit(asked(max_tokens=5), "max_tokens"),
    "test temperature": Edit(asked(test_temperature=1.0), "test_temperature"),
    "gate": Edit(asked(gate="enforce"), "gate"),
    "control samples": Edit(asked(control_samples=2), "control_samples"),
    "threads": Edit(asked(threads=2), "threads"),
    "adapter rank": Edit(asked(lora_rank=4), "lora_rank"),
    "number type": Edit(asked(dtype="bfloat16"), "dtype"),
    "rows per chunk": Edit(asked(chunk_rows=2), "chunk_rows"),
    "model": Edit(asked(model="tiny"), "model:"),
    "a weight's last bit": Edit(rewritten("model/model.safetensors", _weights), "model weights"),
    "answers in the task file": Edit(
        rewritten("sums.jsonl", lambda data: data.replace(b'9"}', b'8"}')), "task set"
    ),
    "code of the recipe": Edit(rewritten("look.py", lambda data: data + b"# more\n"), "recipe code"),
    "code of the verifier": Edit(rewritten("check.py", lambda data: data + b"# more\n"), "verifier code"),
    "release of a package": Edit(released(assemble, "versions", _numpy()), "versions.numpy"),
    "code of sharpen": Edit(released(assemble, "code_fingerprint", "0"), "sharpen code"),
    "journal cut in half": Edit(rewritten("run/journal.sqlite", lambda d: d[: len(d) // 2]), "damaged"),
    "row taken out": Edit(rows_changed("DELETE FROM rows WHERE seq = 2"), "damaged"),
    "first row taken out": Edit(rows_changed("DELETE FROM rows WHERE seq = 1"), "damaged"),
    "two rows exchanged": Edit(
        rows_changed(
            "UPDATE rows SET seq = 99 WHERE seq = 2",
            "UPDATE rows SET seq = 2 WHERE seq = 3",
            "UPDATE rows SET seq = 3 WHERE seq = 99",
        ),
        "damaged",
    ),
    "manifest in the store": Edit(other_manifest, "changed"),
}


def refusal(place: Place, name: str) -> str | None:
    """What the refused command said; None if it was not refused, or for another reason."""
    edit = EDITS[name]
    before = (place.run / "journal.sqlite").read_bytes()
    with edit.make(place) as changed:
        try:
            execute(changed.spec, place.run, StopAfter(None))
        except (Mismatch, Damaged) as error:
            said = str(error)
        except SharpenError:
            return None
        else:
            return None
    unchanged = (place.run / "journal.sqlite").read_bytes() == before
    return said if edit.named in said and unchanged else None


def forked(place: Place) -> bool:
    """Whether a changed command with `fork` makes a run of its own, and says where it comes from."""
    other = place.spec.model_copy(update={"seed": 7})
    execute(other, place.run, StopAfter(None), fork=True)
    made = manifest.read_manifest(place.root / "run.fork-1")
    return made is not None and (made.parent or "").startswith("run at ")


def units() -> list[str]:
    """Names of all units."""
    return [*EDITS, "--fork"]


def work(unit: str) -> dict[str, JsonValue]:
    """Begin a run, make the edit, try to go on."""
    with TemporaryDirectory() as root:
        place = prepared(Path(root))
        if unit == "--fork":
            return {"ok": forked(place), "said": ""}
        said = refusal(place, unit)
        return {"ok": said is not None, "said": (said or "").replace(root, "")}


def table(rows: Mapping[str, Mapping[str, JsonValue]]) -> list[str]:
    """How many were refused, and what was not, in Markdown."""
    missed = [unit for unit, row in rows.items() if not row["ok"]]
    return [
        f"{len(rows) - len(missed)} of {len(rows)} changes were refused by name, or forked on demand."
        + (f" Not refused: {', '.join(missed)}." if missed else "")
    ]
