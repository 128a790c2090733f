"""A run's identity: what must be the same for its journal to be continued."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import JsonValue, ValidationError

import sharpen
from sharpen.core.artifact import ArtifactStore
from sharpen.core.errors import Damaged, Mismatch
from sharpen.core.journal import read_rows
from sharpen.core.records import Record, decode
from sharpen.experiment.spec import RunSpec

KEY = "manifest"
_RESULT_FREE = ("bench", "cli", "report", "serve", "ui", "experiment/show")
_PACKAGES = ("sharpen", "torch", "transformers", "peft", "numpy", "scipy", "safetensors")


class Manifest(Record):
    """The first entry of every journal."""

    spec: RunSpec
    """The request, as given."""
    identity: Mapping[str, JsonValue]
    """Everything a result depends on, by name."""
    parent: str | None = None
    """Name and journal head of the run this one was forked from."""


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide numbers."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    return found


@cache
def code_fingerprint() -> str:
    """Hash of the package's sources, without those that only show results."""
    root = Path(sharpen.__file__).parent
    total = hashlib.sha256()
    for path in sorted([*root.rglob("*.py"), *root.rglob("*.c")]):
        name = path.relative_to(root).as_posix()
        if not name.startswith((*_RESULT_FREE, "recipes/")):
            total.update(name.encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:16]


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of the run in a folder; None if no run has begun there."""
    if not (folder / "journal.sqlite").is_file():
        return None
    for row in read_rows(folder):
        if row.entry.key != KEY:
            raise Damaged(
                f"the journal of {folder} is damaged: its first row is gone",
                remedy="restore it from a backup, or use another --out",
            )
        try:
            return decode(Manifest, ArtifactStore(folder / "store").get(row.entry.blob))
        except Damaged as error:
            raise Damaged(
                error.problem,
                remedy="it says what the run is of: restore a backup, or use another --out",
            ) from None
        except ValidationError:
            raise Mismatch(
                f"run {folder} was made by another version of sharpen",
                remedy="use that version for it, or another --out",
            ) from None
    return None


def differences(old: Manifest, new: Manifest) -> list[str]:
    """Every part of the identity that differs, with both values."""
    before, after = _flat(old.identity), _flat(new.identity)
    return [
        f"{name}: {before.get(name)!r} -> {after.get(name)!r}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def same_place(one: Manifest, other: Manifest) -> bool:
    """Whether two runs differ at most in their recipe's settings and in how they are measured."""
    free = {"config", "gate", "control_samples"}
    kept = [{k: v for k, v in each.identity.items() if k not in free} for each in (one, other)]
    return kept[0] == kept[1]


def _flat(tree: Mapping[str, JsonValue], prefix: str = "") -> dict[str, JsonValue]:
    flat: dict[str, JsonValue] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
