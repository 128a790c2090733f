"""Updaters make new policies: learners, memory writers, skill writers, program editors."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sharpen.core.artifact import Artifact, ArtifactStore, Kind
from sharpen.core.budget import Usage
from sharpen.core.policy import Policy
from sharpen.core.records import Record


class Stopwatch:
    """Counts the seconds that are spent inside models."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._start


@dataclass(frozen=True)
class Workbench:
    """What an updater works with."""

    store: ArtifactStore
    models: Mapping[str, object]
    scratch: Path
    """Folder of this step for checkpoints; it survives a kill and goes when the step is done."""
    seed: int
    stopwatch: Stopwatch
    progress: Callable[[float, float, str], None]


class Updated(Record):
    """A new policy, what it cost, and what the learner has to say."""

    policy: Policy
    usage: Usage = Usage()
    report: Mapping[str, Any] = {}


class Updater(Protocol):
    """Makes a new policy from an old one and some data: a learner, memory writer, program editor.

    A class that says `light = True` trains nothing: dry runs carry it out, and only count what others would
    learn from.
    """

    @property
    def fingerprint(self) -> str:
        """Hash of its settings."""

    def update(self, work: Workbench, policy: Policy, batch: Any) -> Updated:
        """Return the new policy; must be deterministic in its arguments and `work.seed`."""


def artifact_from(work: Workbench, kind: Kind, files: Mapping[str, Path], parent: Policy) -> Artifact:
    """Move finished files into the store as an artifact with lineage."""
    return Artifact(
        kind=kind,
        files={name: work.store.put_file(path) for name, path in sorted(files.items())},
        parents=(parent.version,),
    )


def is_light(updater: Updater) -> bool:
    """Whether a dry run carries it out."""
    return getattr(updater, "light", False) is True


def direct(updater: Updater, work: Workbench, policy: Policy, batch: Any) -> Updated:
    """The plain way to update."""
    return updater.update(work, policy, batch)
