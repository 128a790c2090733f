"""Learning from pairs of pictures which one fits its caption better: a Bradley-Terry reward model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from sharpen.core.artifact import Kind
from sharpen.core.budget import Usage
from sharpen.core.policy import Policy
from sharpen.core.records import Record, digest
from sharpen.core.seeds import seed_for
from sharpen.core.updater import Updated, Workbench, artifact_from
from sharpen.learners.pictures import fit, painter_of
from sharpen.models.loading import WEIGHTS_FILE, load_policy

if TYPE_CHECKING:
    import torch

    from sharpen.models.painter import PainterModel


class Pair(Record):
    """Two pictures of one caption by the hashes of their stored files; the first one is the better."""

    caption: str
    better: str
    worse: str


class Pairs(Record):
    """Pairs, in order."""

    items: tuple[Pair, ...]


class PicturePairs(Record):
    """Trains a network on -log sigmoid(s_better - s_worse) and puts it into the policy as part `name`."""

    name: str
    """Name of the part."""
    steps: int = Field(default=300, ge=1)
    batch_size: int = Field(default=64, ge=1)
    lr: float = Field(default=3e-3, gt=0)
    weight_decay: float = Field(default=0.3, ge=0)
    noise: float = Field(default=0.1, ge=0)
    """Standard deviation of what is added to the pixels."""
    blurred: float = Field(default=0.5, ge=0, le=1)
    """Share of pairs seen as the policy predicts them from a noisy picture, as reward gradients do."""

    @property
    def fingerprint(self) -> str:
        """Hash of the settings."""
        return digest(["picture pairs", self])

    def update(self, work: Workbench, policy: Policy, batch: Pairs) -> Updated:
        """The policy with a freshly trained reward model; unchanged if there are no pairs."""
        if not batch.items:
            return Updated(policy=policy, report={"steps": 0, "skipped": "nothing to learn from"})
        import torch

        from sharpen.models.captions import Captions, word_ids
        from sharpen.models.painter import as_tensor
        from sharpen.models.picture_score import WIDTH, fresh_score, save_score
        from sharpen.tasks.pictures import pixels_of

        shas = sorted({sha for pair in batch.items for sha in (pair.better, pair.worse)})
        place = {sha: number for number, sha in enumerate(shas)}
        pictures = as_tensor([pixels_of(work.store.get(sha)) for sha in shas])
        ids = word_ids([pair.caption for pair in batch.items])
        better = torch.tensor([place[pair.better] for pair in batch.items])
        worse = torch.tensor([place[pair.worse] for pair in batch.items])
        model = painter_of(work.models, policy.model)
        load_policy(model, policy, work.store)
        reader = model.painter.captions or Captions(WIDTH)
        net = fresh_score(pictures.shape[-1], reader, seed_for(work.seed, "weights"))

        def loss(chance: torch.Generator) -> torch.Tensor:
            rows = torch.randint(0, len(ids), (self.batch_size,), generator=chance)
            both = torch.cat([pictures[better[rows]], pictures[worse[rows]]])
            told = ids[rows].repeat(2, 1)
            blur = (torch.rand(self.batch_size, generator=chance) < self.blurred).repeat(2)
            both = torch.where(blur[:, None, None, None], predicted(model, both, told, chance), both)
            scores = net(both + self.noise * torch.randn(both.shape, generator=chance), told)
            return -torch.nn.functional.logsigmoid(
                scores[: self.batch_size] - scores[self.batch_size :]
            ).mean()

        losses = fit(
            work,
            {key: value for key, value in net.named_parameters() if value.requires_grad},
            loss,
            steps=self.steps,
            lr=self.lr,
            identity=[self.fingerprint, batch],
            decay=self.weight_decay,
        )
        with torch.no_grad():
            seen = net(torch.cat([pictures[better], pictures[worse]]), ids.repeat(2, 1))
            net.mean.copy_(seen.mean())
            net.spread.copy_(seen.std())
        target = work.scratch / WEIGHTS_FILE
        save_score(net, target)
        artifact = artifact_from(work, Kind.REWARD_MODEL, {WEIGHTS_FILE: target}, policy)
        return Updated(
            policy=policy.with_part(artifact, self.name),
            usage=Usage(trained_tokens=self.steps * self.batch_size),
            report={"steps": self.steps, "losses": losses},
        )


def predicted(
    model: PainterModel, pictures: torch.Tensor, ids: torch.Tensor, chance: torch.Generator
) -> torch.Tensor:
    """What the painter makes of pictures in one step, once noise of one random strength is added to them."""
    import torch

    from sharpen.models.painter_net import clean

    scheduler = model.scheduler
    scheduler.set_timesteps(model.steps)
    time = scheduler.timesteps[int(torch.randint(model.steps // 5, model.steps, (1,), generator=chance))]
    with torch.no_grad():
        noisy = scheduler.add_noise(pictures, torch.randn(pictures.shape, generator=chance), time)
        return clean(scheduler, model.painter(noisy, time, ids), time, noisy).clamp(-1, 1)
