"""Read runs back from their folders, without touching them."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sharpen.core.artifact import ArtifactStore
from sharpen.core.attempt import Attempt
from sharpen.core.errors import BadInput, SharpenError
from sharpen.core.journal import Row, read_rows
from sharpen.core.records import Record, decode
from sharpen.core.stats import Interval
from sharpen.core.verdict import Verdict
from sharpen.experiment.manifest import read_manifest
from sharpen.experiment.result import RESULT, Result, read_file
from sharpen.search.trees import Tree, Trees

_DEEPEST = 3
"""Folders below the root in which runs are looked for: comparisons keep theirs in folders of their own."""


class RunInfo(Record):
    """A line of the list of runs."""

    folder: str
    name: str = ""
    """Path below the folder that was listed."""
    recipe: str
    model: str
    task: str
    seed: int
    state: str
    """done, stopped by a budget, or unfinished."""
    after: Interval | None = None
    """Score on the sealed test."""
    gain: Interval | None = None
    """After minus before."""
    steps: int = 0
    changed: float = 0.0
    """When its last step was finished, in seconds of the epoch; 0 if there is none."""


class ShownAttempt(Record):
    """An attempt with its verdict and the step it was made in."""

    step: str
    attempt: Attempt
    verdict: Verdict | None


class ShownTree(Record):
    """A search tree and the step it was grown in."""

    step: str
    tree: Tree


def read_result(folder: Path) -> Result:
    """The result of a finished run. Damaged if its file is not what the run wrote."""
    path = folder / RESULT
    if not path.is_file():
        if read_manifest(folder) is None:
            raise SharpenError(f"there is no run in {folder}", remedy="`sharpen runs` lists the runs")
        raise SharpenError(f"run {folder} is not finished", remedy=f"`sharpen resume {folder}`")
    return read_file(path)


def find_runs(root: Path) -> dict[str, Path]:
    """Every run below a folder, those of comparisons among them, by name: its path below the folder."""
    return {path.relative_to(root).as_posix(): path for path in sorted(_runs_below(root, _DEEPEST))}


def _runs_below(folder: Path, depth: int) -> Iterator[Path]:
    try:
        entries = [entry for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    except OSError:  # removed meanwhile, or not ours to read: there is nothing to show of it
        return
    for path in (Path(entry.path) for entry in entries if _has_text(entry.name)):
        if (path / "journal.sqlite").is_file():
            yield path
        elif depth > 1:
            yield from _runs_below(path, depth - 1)


def _has_text(name: str) -> bool:
    """Whether a name is text; bytes that are none cannot be told to a page."""
    return not any("\ud800" <= sign <= "\udfff" for sign in name)


def list_runs(root: Path) -> list[RunInfo]:
    """Every run below a folder, by name; BadInput if there is no such folder."""
    if not root.is_dir():
        raise BadInput("folder", str(root), "is no folder", remedy="give the folder that holds your runs")
    found = find_runs(root).items()
    return [_readable_info(folder).model_copy(update={"name": name}) for name, folder in found]


def _readable_info(folder: Path) -> RunInfo:
    try:
        return _info(folder)
    except SharpenError:
        return _unknown(folder, "unreadable")


def _unknown(folder: Path, state: str) -> RunInfo:
    return RunInfo(folder=str(folder), recipe="?", model="?", task="?", seed=0, state=state)


def _info(folder: Path) -> RunInfo:
    manifest = read_manifest(folder)
    if manifest is None:
        return _unknown(folder, "empty")
    done = (folder / RESULT).is_file()
    result = read_result(folder) if done else None
    stopped = result.stopped_by if result else None
    return RunInfo(
        folder=str(folder),
        recipe=manifest.spec.recipe,
        model=manifest.spec.model,
        task=manifest.spec.task,
        seed=manifest.spec.seed,
        state=f"budget: {stopped}" if stopped else "done" if done else "unfinished",
        after=result.test.after if result else None,
        gain=result.test.delta if result else None,
        steps=sum(1 for _ in read_rows(folder)),
        changed=_changed(folder),
    )


def _changed(folder: Path) -> float:
    """When the journal or its log was written last; who only reads leaves an empty log."""
    found = (path.stat() for path in folder.glob("journal.sqlite*") if not path.name.endswith("-shm"))
    return max((stat.st_mtime for stat in found if stat.st_size), default=0.0)


def attempts_of(folder: Path, task: str) -> list[ShownAttempt]:
    """All attempts at the task whose key starts with `task`, step by step in the order they were made."""
    found = judged_in(read_rows(folder), ArtifactStore(folder / "store"))
    shown = [item for item in found if item.attempt.task.startswith(task)]
    if not shown:
        raise BadInput("task", task, f"no attempt in {folder} is of such a task", remedy="give a key's start")
    return shown


def judged_in(rows: Iterable[Row], store: ArtifactStore) -> Iterator[ShownAttempt]:
    """Attempts with their verdicts, step by step in the order they were begun.

    Attempts and verdicts of a step stand in chunks of their own sizes and belong together in order. A step
    whose attempts were not all judged has no verdicts here: whose they are is not recorded.
    """
    made: dict[str, list[str]] = defaultdict(list)
    judged: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row.entry.verb in ("attempt", "judge"):
            chunks = made if row.entry.verb == "attempt" else judged
            chunks[row.entry.key.rpartition("/")[0]].append(row.entry.blob)
    for step, blobs in made.items():
        attempts: list[Attempt] = _joined(store, blobs, tuple[Attempt, ...])
        verdicts: list[Verdict] = _joined(store, judged[judge_of(step)], tuple[Verdict, ...])
        known = verdicts if len(verdicts) == len(attempts) else [None] * len(attempts)
        for attempt, verdict in zip(attempts, known, strict=True):
            yield ShownAttempt(step=_stage(step), attempt=attempt, verdict=verdict)


def judge_of(step: str) -> str:
    """The step that judges the attempts of a step: the one of the same count at the same place."""
    place, _, verb = step.rpartition("/")
    count = verb.partition("~")[2]
    name = f"judge~{count}" if count else "judge"
    return f"{place}/{name}" if place else name


def _joined(store: ArtifactStore, blobs: Iterable[str], kind: Any) -> list[Any]:
    return [item for blob in blobs for item in decode(kind, store.get(blob))]


def trees_of(folder: Path, task: str) -> list[ShownTree]:
    """All search trees of the task whose key starts with `task`, in the order they were grown."""
    found = trees_in(read_rows(folder), ArtifactStore(folder / "store"))
    shown = [item for item in found if item.tree.task.startswith(task)]
    if not shown:
        raise BadInput("tree", task, f"no tree in {folder} is of such a task", remedy="give a key's start")
    return shown


def trees_in(rows: Iterable[Row], store: ArtifactStore) -> Iterator[ShownTree]:
    """All search trees, in the order they were grown."""
    for row in rows:
        if row.entry.verb == "search":
            for tree in _trees(store.get(row.entry.blob)):
                yield ShownTree(step=row.entry.key, tree=tree)


def _trees(data: bytes) -> tuple[Tree, ...]:
    """The trees that a search stored; none if it looked for something else."""
    try:
        return Trees.model_validate_json(data).items
    except ValidationError:
        return ()


def _stage(step: str) -> str:
    """A step of attempts as it is shown: where it is, and the how manieth it is there."""
    place, _, verb = step.rpartition("/")
    return f"{place}~{verb.partition('~')[2] or 1}"
