"""Write the model that a run made as a Hugging Face folder."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

from sharpen.core.artifact import ArtifactStore, write_atomic
from sharpen.core.errors import BadInput
from sharpen.core.policy import PromptForm
from sharpen.core.records import Record, encode
from sharpen.experiment.manifest import Manifest, read_manifest
from sharpen.experiment.show import read_result
from sharpen.models.form import FORM_FILE, DefaultForm
from sharpen.models.source import open_model


class Exported(Record):
    """What was written."""

    folder: str
    policy: str
    base: bool
    """The run ended with the base model; there is no better one to export."""

    def lines(self) -> list[tuple[str, str]]:
        """Name and text, for printing."""
        what = "the unchanged base model" if self.base else f"policy {self.policy}"
        again = f"`sharpen eval --model {self.folder} --task TASK`"
        return [("exported", f"{what} to {self.folder}"), ("next", again)]


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
    model = open_model(result.spec.model)
    if not isinstance(model, Exporter):
        raise BadInput(
            "model", result.spec.model, "has no weights here", remedy="export runs of local models"
        )
    sha = Path(result.weights).name if result.weights else None
    weights = ArtifactStore(folder / "store").checked_path(sha) if sha else None
    model.export(weights, target, merged=merged)
    write_atomic(target / FORM_FILE, encode(_form(manifest)))
    return Exported(folder=str(target), policy=result.policy, base=weights is None)
