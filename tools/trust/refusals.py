"""T3: no flipped bit changes what is read back of a run."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from pydantic import JsonValue

from sharpen.core.artifact import ArtifactStore
from sharpen.core.errors import Damaged
from sharpen.core.journal import Journal, Row
from sharpen.core.seeds import random_for
from sharpen.experiment.check_recipe import StopAfter, small_spec
from sharpen.experiment.execute import execute
from sharpen.experiment.result import RESULT, read_file

FLIPS = 100
"""Flips of a unit."""
UNITS = 10
OUTCOMES = ("refused", "without effect", "missed")


def truth(folder: Path) -> list[Row]:
    """All rows of a run, read as a resumed run reads them."""
    journal = Journal(folder)
    try:
        rows = list(journal)
        assert all(journal.get(row.entry.key) == row for row in rows)
        return rows
    finally:
        journal.close()


def flipped(path: Path, rng: Random) -> None:
    """Turn over one bit of a file."""
    place = rng.randrange(path.stat().st_size)
    with path.open("r+b") as handle:
        handle.seek(place)
        (byte,) = handle.read(1)
        handle.seek(place)
        handle.write(bytes([byte ^ 1 << rng.randrange(8)]))


def flip_in_journal(folder: Path, rows: list[Row], rng: Random) -> str:
    """What becomes of a flip in a copy of the journal's file: refused, without effect, or missed."""
    with TemporaryDirectory() as place:
        shutil.copy(folder / "journal.sqlite", place)
        flipped(Path(place) / "journal.sqlite", rng)
        try:
            return "without effect" if truth(Path(place)) == rows else "missed"
        except Damaged:
            return "refused"


def flip_in_store(folder: Path, rows: list[Row], rng: Random) -> str:
    """What becomes of a flip in a stored file that the journal names; the first row's is the manifest."""
    store = ArtifactStore(folder / "store")
    whole = rng.choice([sha for row in rows for sha in (row.entry.blob, *row.entry.files)])
    path = store.path(rows[0].entry.blob if rng.random() < 0.2 else whole)
    kept = path.read_bytes()
    flipped(path, rng)
    try:
        store.get(path.name)
    except Damaged:
        return "refused"
    finally:
        path.write_bytes(kept)
    return "missed"


def flip_in_result(folder: Path, rows: list[Row], rng: Random) -> str:
    """What becomes of a flip in a copy of the run's result."""
    with TemporaryDirectory() as place:
        copy = Path(shutil.copy(folder / RESULT, place))
        flipped(copy, rng)
        try:
            return "without effect" if read_file(copy) == read_file(folder / RESULT) else "missed"
        except Damaged:
            return "refused"


def flips(folder: Path, count: int, rng: Random) -> dict[str, int]:
    """Flip single bits, in turn in the journal, in stored files and in the result, if there is one."""
    rows = truth(folder)
    ways = [flip_in_journal, flip_in_store, *([flip_in_result] if (folder / RESULT).is_file() else [])]
    found = [ways[number % len(ways)](folder, rows, rng) for number in range(count)]
    return {outcome: found.count(outcome) for outcome in OUTCOMES}


def units() -> list[str]:
    """Names of all units."""
    return [f"flips {number}" for number in range(UNITS)]


def work(unit: str) -> dict[str, JsonValue]:
    """Make a small run and flip bits in it."""
    with TemporaryDirectory() as root:
        folder = Path(root) / "run"
        execute(small_spec("star"), folder, StopAfter(None))
        found = flips(folder, FLIPS, random_for("flips", unit))
    return {**found, "ok": found["missed"] == 0}


def table(rows: Mapping[str, Mapping[str, JsonValue]]) -> list[str]:
    """What came of all flips, in Markdown."""
    total = {name: sum(int(str(row[name])) for row in rows.values()) for name in OUTCOMES}
    return [
        f"{sum(total.values())} single bits flipped in journals, stored files and results of runs: "
        f"{total['refused']} "
        f"refused, {total['without effect']} in bytes that hold nothing (all that is read was compared), "
        f"{total['missed']} missed."
    ]
