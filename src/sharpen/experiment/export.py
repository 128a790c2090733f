"""Write what a run made: a model as a Hugging Face folder, memories, skills and programs as plain files."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

from sharpen.core.artifact import ArtifactStore, Kind, write_atomic
from sharpen.core.errors import BadInput
from sharpen.core.policy import PromptForm
from sharpen.core.records import Record, encode
from sharpen.experiment.manifest import Manifest, read_manifest
from sharpen.experiment.result import Result
from sharpen.experiment.show import read_result
from sharpen.models.form import FORM_FILE, DefaultForm
from sharpen.models.source import open_model


class Exported(Record):
    """What was written."""

    folder: str
    policy: str
    base: bool
    """The run ended with the policy it began with; there is no better one to export."""
    model: bool
    """Whether the folder holds a model."""
    parts: tuple[str, ...] = ()
    """What is exported beside the model, each in a folder of its name."""

    def lines(self) -> list[tuple[str, str]]:
        """Name and text, for printing."""
        what = "the unchanged base model" if self.base else f"policy {self.policy}"
        lines = [("exported", f"{what} to {self.folder}")]
        lines += [("", f"{part} in {self.folder}/{part}") for part in self.parts]
        again = f"`sharpen eval --model {self.folder} --task TASK`"
        return [*lines, ("next", again)] if self.model else lines


@runtime_checkable
class Exporter(Protocol):
    """A model that can write itself."""

    def export(self, weights: Path | None, target: Path, *, merged: bool) -> None:
        """Write a folder that plain transformers can load."""


def _form(manifest: Manifest) -> DefaultForm:
    form = PromptForm.model_validate(manifest.identity["prompt"])
    return DefaultForm(style=form.style, shots=len(form.shots))


def export(folder: Path, target: Path, *, merged: bool) -> Exported:
    """Export the final policy of the run in `folder`."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BadInput(
            "target", str(target), "is there and is not an empty folder", remedy="give a new folder"
        )
    result, manifest = read_result(folder), read_manifest(folder)
    assert manifest is not None
    store = ArtifactStore(folder / "store")
    parts = {name: part for name, part in result.parts.items() if part.kind is not Kind.WEIGHTS}
    has_model = _export_model(result, store, target, merged=merged)
    if has_model:
        write_atomic(target / FORM_FILE, encode(_form(manifest)))
    elif not parts:
        raise BadInput(
            "model", result.spec.model, "has no weights here", remedy="export runs of local models"
        )
    for name, part in parts.items():
        for file, sha in part.files.items():
            write_atomic(_inside(target / name, file), store.get(sha))
    return Exported(
        folder=str(target),
        policy=result.policy,
        base=not result.parts,
        model=has_model,
        parts=tuple(parts),
    )


def _export_model(result: Result, store: ArtifactStore, target: Path, *, merged: bool) -> bool:
    """Write the model with the weights the run ended with; False if it is none that could be written."""
    model = open_model(result.spec.model)
    if not isinstance(model, Exporter):
        return False
    sha = Path(result.weights).name if result.weights else None
    model.export(store.checked_path(sha) if sha else None, target, merged=merged)
    return True


def _inside(folder: Path, name: str) -> Path:
    """The file's place below the folder; BadInput for a name that leads out of it."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise BadInput("file", name, "leads out of the export", remedy="the run is damaged: do not use it")
    return path
