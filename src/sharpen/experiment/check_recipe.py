"""Prove a recipe on the smallest run: it runs, runs the same twice, and resumes from its middle."""

from __future__ import annotations

import tempfile
from pathlib import Path

from sharpen.core.check import CheckReport, CheckRow
from sharpen.core.journal import Entry, Wall
from sharpen.core.recipe import load_recipe
from sharpen.experiment.execute import execute
from sharpen.experiment.result import Result
from sharpen.experiment.spec import RunSpec
from sharpen.tasks.settings import SMALL


class StopAfter:
    """A listener that interrupts the run after so many new rows; never if that is None."""

    def __init__(self, rows: int | None) -> None:
        self.left = rows
        self.seen = 0

    def progress(self, step: str, done: float, total: float, note: str) -> None:
        """Nothing is shown."""

    def finished(self, entry: Entry, wall: Wall, result: object, *, replayed: bool) -> None:
        """Count rows."""
        self.seen += 1
        if self.left is not None and not replayed:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt


def small_spec(name: str) -> RunSpec:
    """The recipe's run of seconds; one that declares no task for it gets an easy level."""
    small = load_recipe(name).small
    return RunSpec.at(name, small if small.request else SMALL.at(**small.config), {})


def check_recipe(name: str) -> CheckReport:
    """Run small, run again, run with an interruption, and compare the journals."""
    spec = small_spec(name)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        whole = StopAfter(None)
        first = execute(spec, root / "first", whole)
        second = execute(spec, root / "second", StopAfter(None))
        third = _interrupted(spec, root / "third", whole.seen // 2)
    return CheckReport(
        subject=f"recipe {name}",
        rows=(
            _row("runs", "a result", "a result"),
            _row("deterministic", first.journal_head, second.journal_head),
            _row("resumes", first.journal_head, third.journal_head),
            _row("all verdicts known", "1", f"{first.coverage:g}"),
        ),
    )


def _interrupted(spec: RunSpec, folder: Path, rows: int) -> Result:
    try:
        return execute(spec, folder, StopAfter(rows))
    except KeyboardInterrupt:
        return execute(spec, folder, StopAfter(None))


def _row(case: str, wanted: str, got: str) -> CheckRow:
    return CheckRow(case=case, wanted=wanted, got=got, ok=wanted == got)
