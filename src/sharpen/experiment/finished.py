"""A finished run of which nothing has changed: its result, without loading its model."""

from __future__ import annotations

from pathlib import Path

from pydantic import JsonValue

from sharpen.core.artifact import ArtifactStore
from sharpen.core.errors import Damaged
from sharpen.core.journal import Journal
from sharpen.executors.pool import JudgePool
from sharpen.experiment.assemble import check_request, form_of, tasks_of
from sharpen.experiment.manifest import Manifest, code_fingerprint, versions
from sharpen.experiment.result import RESULT, Result, read_file
from sharpen.experiment.spec import RunSpec
from sharpen.models.source import local_fingerprint
from sharpen.verifiers.source import open_unproven


def finished(spec: RunSpec, folder: Path, old: Manifest, pool: JudgePool) -> Result | None:
    """The result that is there, if the same was asked for and code, weights, tasks and records are unchanged.

    None wherever that is not plain: the run is then walked through, which tells what is wrong.
    """
    result = written(folder)
    if result is None or spec.model_copy(update={"executor": old.spec.executor}) != old.spec:
        return None
    known = _identity(spec, pool)
    if known is None or any(old.identity.get(name) != value for name, value in known.items()):
        return None
    return result if _whole(folder, result) else None


def written(folder: Path) -> Result | None:
    """The result in a run's folder, if it is certain to be what was written there."""
    path = folder / RESULT
    try:
        result = read_file(path) if path.is_file() else None
    except Damaged:
        return None
    return result if result and result.seal else None


def _identity(spec: RunSpec, pool: JudgePool) -> dict[str, JsonValue] | None:
    """What all the rest of a run's identity follows from; None for a model that has no weights here."""
    weights = local_fingerprint(spec.model)
    if weights is None:
        return None
    recipe, config = check_request(spec)
    form, tasks = form_of(spec, tasks_of(spec))
    verifier = open_unproven(spec.verifier or tasks.verifier, pool=pool)
    watching = open_unproven(spec.held_back, pool=pool) if spec.held_back else None
    return {
        "recipe code": recipe.fingerprint,
        "config": config.model_dump(mode="json"),
        "model weights": weights,
        "task set": tasks.fingerprint,
        "verifier code": verifier.fingerprint,
        "held-back verifier": watching.fingerprint if watching else None,
        "prompt": form.model_dump(mode="json"),
        "sharpen code": code_fingerprint(),
        "versions": dict(versions()),
    }


def _whole(folder: Path, result: Result) -> bool:
    """Whether the result is of the whole journal, and every file that it names is intact."""
    journal, store = Journal(folder), ArtifactStore(folder / "store")
    try:
        rows = list(journal)
        return journal.head == result.journal_head and all(
            store.intact(sha) for sha in {sha for row in rows for sha in (row.entry.blob, *row.entry.files)}
        )
    finally:
        journal.close()
