"""Teaching a diffusion model rendered scenes, by somebody who does not heed every aspect of a caption."""

from __future__ import annotations

from pydantic import Field

from sharpen.core.policy import Policy
from sharpen.core.records import Record, digest
from sharpen.core.seeds import random_for
from sharpen.core.updater import Updated, Workbench
from sharpen.learners.denoise import Denoise
from sharpen.learners.pictures import painter_of
from sharpen.tasks.scenes import Odds, Scene, distorted


class Scenes(Record):
    """What to render, in order."""

    items: tuple[Scene, ...]


class Rendered(Record):
    """Renders pictures of the scenes in turn, with the odds of missing an aspect, and trains on them."""

    odds: Odds
    pictures: int = Field(default=1000, ge=1)
    learner: Denoise = Denoise()

    @property
    def fingerprint(self) -> str:
        """Hash of the settings."""
        return digest(["rendered", self])

    def update(self, work: Workbench, policy: Policy, batch: Scenes) -> Updated:
        """The policy with weights that have learnt such pictures."""
        from sharpen.tasks.scene_pictures import render

        side = painter_of(work.models, policy.model).size
        captions, pictures = [], []
        for number in range(self.pictures):
            scene, rng = batch.items[number % len(batch.items)], random_for(work.seed, "scene", number)
            captions.append(scene.caption)
            pictures.append(render(distorted(scene, rng, self.odds), rng, side=side))
        return self.learner.learn(work, policy, captions, pictures)
