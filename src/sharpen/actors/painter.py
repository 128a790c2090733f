"""Tasks that are answered with one picture each; the caption is the task's question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from sharpen.actors.base import Stage
from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.errors import BadInput
from sharpen.core.policy import Decoding, Job, Policy
from sharpen.core.seeds import seed_for
from sharpen.models.base import Capability
from sharpen.models.loading import load_policy
from sharpen.tasks.pictures import png_of

IMAGE = "image.png"


def open_actor(stage: Stage) -> PainterActor:
    """The actor, on this stage."""
    return PainterActor(stage)


@dataclass(frozen=True)
class PainterActor:
    """Draws one picture per job; it lies in the store, and the attempt names it."""

    moves: ClassVar[bool] = True
    stage: Stage

    def act(self, policy: Policy, jobs: Sequence[Job], decoding: Decoding) -> list[Attempt]:
        """One attempt per job, in order."""
        model = self.stage.models[policy.model]
        if Capability.PICTURES not in model.capabilities:
            raise BadInput("model", policy.model, "cannot draw", remedy="use painter?... or its folder")
        with self.stage.stopwatch:
            load_policy(model, policy, self.stage.store)
            captions = [job.task.question for job in jobs]
            drawn = model.draw(captions, [_noise(job, decoding) for job in jobs])
        return [
            _attempt(policy, job, decoding, self.stage.store.put(png_of(pixels)), model.steps)
            for job, pixels in zip(jobs, drawn, strict=True)
        ]


def _noise(job: Job, how: Decoding) -> int:
    """Noise is the sample's own; when drawing is greedy, every policy starts from the same noise."""
    return job.seed if how.temperature else seed_for("noise", job.task.key, job.index)


def _attempt(policy: Policy, job: Job, how: Decoding, image: str, steps: int) -> Attempt:
    return Attempt(
        task=job.task.key,
        index=job.index,
        policy=policy.version,
        turns=(Turn(author=Author.TEMPLATE, text=job.task.question), Turn(author=Author.POLICY, text="")),
        round=job.round,
        temperature=how.temperature,
        steps=steps,
        files={IMAGE: image},
    )
