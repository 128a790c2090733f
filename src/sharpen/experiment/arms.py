"""Runs side by side: their test scores by task, what they used on average, and where their code came from."""

from __future__ import annotations

import shutil
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sharpen.core.artifact import ArtifactStore
from sharpen.core.budget import Purpose, Timing, Usage
from sharpen.core.journal import Row, read_rows
from sharpen.core.records import decode
from sharpen.core.verdict import Verdict, value_of
from sharpen.experiment.result import Result

Values = tuple[float | None, ...]

_TEST = "evaluate/test/"


class Answered(NamedTuple):
    """How a policy did on the test tasks, and at what cost."""

    values: Values
    """In task order; None where the judge failed."""
    usage: Usage
    timing: Timing


class Finished(NamedTuple):
    """A run with its test scores by task."""

    result: Result
    start: Answered
    end: Answered

    @property
    def before(self) -> Values:
        """Scores of the policy it began with."""
        return self.start.values

    @property
    def after(self) -> Values:
        """Scores of the policy it ended with."""
        return self.end.values


def finished(result: Result, folder: Path) -> Finished:
    """The run of this result with the scores of the policies it began and ended with."""
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in read_rows(folder):
        if row.entry.key.startswith(_TEST):
            rows[row.entry.key.removeprefix(_TEST).partition("/")[0]].append(row)
    first = next(iter(rows))
    store = ArtifactStore(folder / "store")
    return Finished(result, *(_answered(rows[version], version, store) for version in (first, result.policy)))


def _answered(rows: Sequence[Row], version: str, store: ArtifactStore) -> Answered:
    judged = f"{_TEST}{version}/judge/"
    chunks = [
        decode(tuple[Verdict, ...], store.get(row.entry.blob))
        for row in rows
        if row.entry.key.startswith(judged)
    ]
    own = [row for row in rows if row.entry.purpose is not Purpose.CONTROL]
    return Answered(
        tuple(value_of(verdict) for chunk in chunks for verdict in chunk),
        sum((row.entry.usage for row in own), Usage()),
        sum((row.wall.timing for row in own), Timing()),
    )


def mean_usage(used: Sequence[Usage]) -> Usage:
    """The average, meter by meter."""
    return Usage(
        **{name: round(sum(getattr(u, name) for u in used) / len(used)) for name in Usage.model_fields}
    )


def method_usage(results: Sequence[Result]) -> Usage:
    """What the methods of runs used on average."""
    return mean_usage([result.budget.used[Purpose.METHOD] for result in results])


def commit() -> str:
    """The commit of the working folder, marked if files differ from it; `unknown` outside of one."""
    git = shutil.which("git")
    if git is None:
        return "unknown"
    done = subprocess.run(
        [git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
        capture_output=True,
        text=True,
        timeout=10,
    )
    return done.stdout.strip() or "unknown"
