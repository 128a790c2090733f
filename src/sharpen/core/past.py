"""Work of another run that counts for this one: a step of equal place and inputs gives an equal result."""

from __future__ import annotations

from pathlib import Path

from sharpen.core.artifact import ArtifactStore
from sharpen.core.journal import Entry, read_rows


class Past:
    """The finished steps of a run of the same identity, whose recipe may have other settings."""

    def __init__(self, folder: Path) -> None:
        """Read the run's rows; its store is read when a step is taken over."""
        self._store = ArtifactStore(folder / "store")
        self._entries = {row.entry.key: row.entry for row in read_rows(folder)}

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def take(self, key: str, inputs: str, store: ArtifactStore) -> Entry | None:
        """The row of a step with these inputs, after copying what it stored; None if there is none."""
        entry = self._entries.get(key)
        if entry is None or entry.inputs != inputs:
            return None
        for sha in (entry.blob, *entry.files):
            store.put(self._store.get(sha))
        return entry
