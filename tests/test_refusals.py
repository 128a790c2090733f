"""A run that was changed, or that rotted on disk, is refused; nothing that is read back is ever different."""

from __future__ import annotations

from pathlib import Path

import pytest
from trust import edits, refusals

from helpers_run import START, engine, loop, task_set
from sharpen.core.run import Run
from sharpen.core.seeds import random_for

CHOSEN = (
    "seed",
    "answers in the task file",
    "a weight's last bit",
    "first row taken out",
    "manifest in the store",
)
"""One of each kind; `make trust` tries them all."""


def test_edits_are_refused_by_name(tmp_path: Path) -> None:
    place = edits.prepared(tmp_path)
    said = {name: edits.refusal(place, name) for name in CHOSEN}
    assert all(said.values()), said


@pytest.mark.parametrize("unit", range(2))
def test_flipped_bits_change_nothing_unseen(tmp_path: Path, unit: int) -> None:
    made = engine(tmp_path)
    loop(Run(made), task_set(), START)
    made.journal.close()
    found = refusals.flips(tmp_path, 40, random_for("flips", unit))
    assert found["missed"] == 0 and found["refused"] >= 25
