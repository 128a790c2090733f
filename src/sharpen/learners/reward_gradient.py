"""Fine-tuning a diffusion model on the gradient of learned rewards through one late denoising step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from sharpen.core.artifact import Artifact, Kind
from sharpen.core.budget import Usage
from sharpen.core.policy import Policy
from sharpen.core.records import Record, digest
from sharpen.core.updater import Updated, Workbench, artifact_from
from sharpen.learners.denoise import denoising_loss
from sharpen.learners.pictures import Gallery, fit, painter_of
from sharpen.models.loading import WEIGHTS_FILE, load_policy

if TYPE_CHECKING:
    import torch

    from sharpen.models.painter import PainterModel


class Rewarded(Record):
    """Captions to draw, and the reward models whose gradients are followed."""

    captions: tuple[str, ...]
    rewards: Mapping[str, Artifact]
    anchors: Gallery = Gallery(items=())
    """Pictures that the model goes on to denoise while it follows the rewards, usually its own."""


class RewardGradient(Record):
    """AdamW on mean over pictures of sum over rewards of relu(margin - r), plus `denoising` times the squared
    error of denoising the anchors.

    A picture is denoised without gradient up to a step m, drawn evenly from `first` to `last`; one step with
    gradient predicts the finished picture, which the rewards see.
    """

    steps: int = Field(default=100, ge=1)
    batch_size: int = Field(default=64, ge=1)
    lr: float = Field(default=3e-4, gt=0)
    margin: float = 2.0
    """Score from which a picture is good enough."""
    denoising: float = Field(default=0.0, ge=0)
    """Weight of the anchors; without them the model may leave the pictures that the rewards can judge."""
    only: str = ""
    """Train the parameters whose names begin so; `captions` changes what is drawn, and not how."""
    first: int = Field(default=0, ge=0)
    """Earliest step with gradient."""
    last: int = Field(default=6, ge=0)
    """Latest step with gradient."""

    @property
    def fingerprint(self) -> str:
        """Hash of the settings."""
        return digest(["reward gradient", self])

    def update(self, work: Workbench, policy: Policy, batch: Rewarded) -> Updated:
        """The policy with weights whose pictures score higher; unchanged if there is nothing to follow."""
        if not batch.rewards:
            return Updated(policy=policy, report={"steps": 0, "skipped": "nothing to follow"})
        import torch

        from sharpen.models.captions import word_ids
        from sharpen.models.picture_score import read_score

        model = painter_of(work.models, policy.model)
        load_policy(model, policy, work.store)
        everything = model.begin()
        for parameter in everything.values():
            parameter.requires_grad_(False)
        parameters = {key: value for key, value in everything.items() if key.startswith(self.only)}
        paths = [work.store.checked_path(found.files[WEIGHTS_FILE]) for found in batch.rewards.values()]
        nets = [read_score(path) for path in paths]
        ids = word_ids(batch.captions)
        anchored = denoising_loss(work, model, batch.anchors, self.batch_size) if self.denoising else None

        def loss(chance: torch.Generator) -> torch.Tensor:
            rows = ids[torch.randint(0, len(ids), (self.batch_size,), generator=chance)]
            pictures = self._drawn(model, rows, chance)
            scores = torch.stack([net(pictures, rows) for net in nets])
            missing = torch.relu(self.margin - scores).sum(dim=0).mean()
            return missing if anchored is None else missing + self.denoising * anchored(chance)

        losses = fit(
            work,
            parameters,
            loss,
            steps=self.steps,
            lr=self.lr,
            identity=[self.fingerprint, policy.version, batch],
            constant=True,
        )
        target = work.scratch / WEIGHTS_FILE
        model.save(target)
        artifact = artifact_from(work, Kind.WEIGHTS, {WEIGHTS_FILE: target}, policy)
        mean_step = (self.first + min(self.last, model.steps - 1)) // 2
        return Updated(
            policy=policy.with_part(artifact),
            usage=Usage(
                trained_tokens=self.steps * self.batch_size,
                environment_steps=self.steps * self.batch_size * mean_step,
            ),
            report={"steps": self.steps, "losses": losses},
        )

    def _drawn(self, model: PainterModel, ids: torch.Tensor, chance: torch.Generator) -> torch.Tensor:
        """Pictures predicted at a random step, with gradient through that step alone."""
        import torch

        from sharpen.models.painter_net import clean, denoise

        last = min(self.last, model.steps - 1)
        stop = int(torch.randint(min(self.first, last), last + 1, (1,), generator=chance))
        noisy = torch.randn((len(ids), 3, model.size, model.size), generator=chance)
        with torch.no_grad():
            noisy = denoise(model.painter, model.scheduler, noisy, ids, steps=model.steps, stop=stop)
        time = model.scheduler.timesteps[stop]
        return clean(model.scheduler, model.painter(noisy, time, ids), time, noisy).clamp(-1, 1)
