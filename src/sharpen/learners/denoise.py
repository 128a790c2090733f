"""Teaching a diffusion model pictures: it learns to take the noise out of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from sharpen.core.artifact import Kind
from sharpen.core.budget import Usage
from sharpen.core.policy import Policy
from sharpen.core.records import Record, digest, hash_bytes
from sharpen.core.updater import Updated, Workbench, artifact_from
from sharpen.learners.pictures import Gallery, fit, painter_of
from sharpen.models.loading import WEIGHTS_FILE, load_policy

if TYPE_CHECKING:
    import torch

    from sharpen.learners.pictures import Loss
    from sharpen.models.painter import PainterModel
    from sharpen.tasks.pictures import Pixels


class Denoise(Record):
    """AdamW on the squared error of the model's prediction, at the times that its sampler visits."""

    steps: int = Field(default=200, ge=1)
    batch_size: int = Field(default=64, ge=1)
    lr: float = Field(default=1e-3, gt=0)

    @property
    def fingerprint(self) -> str:
        """Hash of the settings."""
        return digest(["denoise", self])

    def update(self, work: Workbench, policy: Policy, batch: Gallery) -> Updated:
        """The policy with weights that have learnt the pictures; unchanged if there are none."""
        if not batch.items:
            return Updated(policy=policy, report={"steps": 0, "skipped": "nothing to learn from"})
        return self.learn(work, policy, *shown(work, batch))

    def learn(
        self, work: Workbench, policy: Policy, captions: Sequence[str], pictures: Sequence[Pixels]
    ) -> Updated:
        """The policy with weights that have learnt these pictures of these captions."""
        model = painter_of(work.models, policy.model)
        load_policy(model, policy, work.store)
        identity = [self.fingerprint, policy.version, captions, [hash_bytes(p.tobytes()) for p in pictures]]
        loss = _loss(model, captions, pictures, self.batch_size)
        losses = fit(work, model.begin(), loss, steps=self.steps, lr=self.lr, identity=identity)
        target = work.scratch / WEIGHTS_FILE
        model.save(target)
        artifact = artifact_from(work, Kind.WEIGHTS, {WEIGHTS_FILE: target}, policy)
        return Updated(
            policy=policy.with_part(artifact),
            usage=Usage(trained_tokens=self.steps * self.batch_size),
            report={"steps": self.steps, "losses": losses},
        )


def shown(work: Workbench, batch: Gallery) -> tuple[list[str], list[Pixels]]:
    """Captions and pictures of a gallery."""
    from sharpen.tasks.pictures import pixels_of

    read = {sha: pixels_of(work.store.get(sha)) for sha in sorted({item.image for item in batch.items})}
    return [item.caption for item in batch.items], [read[item.image] for item in batch.items]


def denoising_loss(work: Workbench, model: PainterModel, batch: Gallery, rows: int) -> Loss:
    """The squared error of the model's prediction on `rows` random pictures."""
    return _loss(model, *shown(work, batch), rows)


def _loss(model: PainterModel, captions: Sequence[str], pictures: Sequence[Pixels], rows: int) -> Loss:
    import torch

    from sharpen.models.captions import word_ids
    from sharpen.models.painter import as_tensor

    ids, clean, scheduler = word_ids(captions), as_tensor(pictures), model.scheduler
    scheduler.set_timesteps(model.steps)

    def loss(chance: torch.Generator) -> torch.Tensor:
        some = torch.randint(0, len(ids), (rows,), generator=chance)
        times = scheduler.timesteps[torch.randint(0, model.steps, (rows,), generator=chance)]
        noise = torch.randn(clean[some].shape, generator=chance)
        predicted = model.painter(scheduler.add_noise(clean[some], noise, times), times, ids[some])
        wanted = {
            "sample": clean[some],
            "epsilon": noise,
            "v_prediction": scheduler.get_velocity(clean[some], noise, times),
        }
        return torch.nn.functional.mse_loss(predicted, wanted[scheduler.config.prediction_type])

    return loss
