"""The state of a training in one file: written whole or not at all, refused if foreign or damaged."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from sharpen.core.errors import Damaged, Mismatch
from sharpen.core.records import Record
from sharpen.learners.optim import Moments
from sharpen.models.hf_file import Contents, Facts, read_checked, read_facts, save_tensors
from sharpen.models.hf_weights import copy_into

WEIGHT = "weight/"
MOST_SECONDS = 20.0
WRITING_SHARE = 0.05


class Progress(Record):
    """Where a training stands."""

    step: int = 0
    losses: tuple[float, ...] = ()
    norms: tuple[float, ...] = ()
    seconds: float = 0.0

    def after(self, loss: float, norm: float, seconds: float) -> Progress:
        """One step further."""
        return Progress(
            step=self.step + 1,
            losses=(*self.losses, loss),
            norms=(*self.norms, norm),
            seconds=self.seconds + seconds,
        )


@dataclass
class Checkpoint:
    """The checkpoint file of one training, told apart from others by the hash of its inputs."""

    path: Path
    job: str
    every: int
    _saved_step: int = 0
    _saved_at: float = field(default_factory=time.monotonic)
    _cost: float = 0.0

    def due(self, step: int) -> bool:
        """After `every` steps or 20 seconds, but never so often that writing takes a notable share of it."""
        waited = time.monotonic() - self._saved_at
        wanted = step - self._saved_step >= self.every or waited >= MOST_SECONDS
        return wanted and waited >= self._cost / WRITING_SHARE

    def write(self, progress: Progress, moments: Moments) -> None:
        """Save weights, moments and progress."""
        began = time.monotonic()
        tensors = {WEIGHT + name: value for name, value in moments.local().items()}
        facts: Facts = {"job": self.job, "steps": moments.steps, "progress": progress.model_dump(mode="json")}
        save_tensors(self.path, {**tensors, **moments.tensors()}, facts)
        self._saved_step, self._saved_at = progress.step, time.monotonic()
        self._cost = self._saved_at - began

    @property
    def step(self) -> int:
        """After how many steps it was written; 0 if there is none, or none that can be read."""
        try:
            return Progress.model_validate(read_facts(self.path)[0]["progress"]).step
        except (Damaged, KeyError, ValueError):
            return 0

    def forget(self) -> None:
        """Start over."""
        self.path.unlink(missing_ok=True)

    def read(self, moments: Moments) -> Progress:
        """Put weights and moments in place and return the progress; a fresh one if there is no file.

        Raises Mismatch for the file of another training, Damaged for a broken one.
        """
        if not self.path.exists():
            return Progress()
        try:
            facts, tensors = self._contents()
            progress = Progress.model_validate(facts["progress"])
            moments.restore(tensors, int(str(facts["steps"])))
        except (KeyError, ValueError) as error:
            raise self._damaged() from error
        weights = {n.removeprefix(WEIGHT): t for n, t in tensors.items() if n.startswith(WEIGHT)}
        copy_into(moments.local(), weights, self.path)
        self._saved_step = progress.step
        return progress

    def _contents(self) -> Contents:
        try:
            contents = read_checked(self.path)
        except Damaged as error:
            raise self._damaged() from error
        if contents.facts.get("job") != self.job:
            raise Mismatch(
                f"checkpoint {self.path} belongs to another training",
                remedy="delete it and run again; the update then starts over",
            )
        return contents

    def _damaged(self) -> Damaged:
        return Damaged(
            f"checkpoint {self.path} is damaged",
            remedy="delete it and run again; the update then starts over",
        )
