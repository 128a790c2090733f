"""Learning what a good response is: a reward model made of a decoder's trunk and a small head.

With r(x, y) the score of response y to task x, and v in [0, 1] what the response is worth:

    listwise:   mean over tasks of the mean over pairs v+ > v- of -log sigmoid(r(x, y+) - r(x, y-))
    pointwise:  mean over scores of -v log sigmoid(r) - (1 - v) log sigmoid(-r)

The first is Bradley-Terry's over all pairs of a task in one pass (arXiv 2409.12122, section 3.2; arXiv
2203.02155): it ranks, and leaves open what score is good enough. The second also says how likely a response
is right, and can score single steps (arXiv 2305.20050).
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from pydantic import Field

from sharpen.core.artifact import Kind
from sharpen.core.budget import Usage
from sharpen.core.errors import BadInput
from sharpen.core.policy import Policy
from sharpen.core.records import Record, digest
from sharpen.core.seeds import random_for, seed_for
from sharpen.core.updater import Updated, Workbench, artifact_from
from sharpen.curation.rated import Rated, Ratings
from sharpen.learners.descent import descend
from sharpen.learners.reward_rows import read_attempt
from sharpen.learners.training import LORA_FACTOR, REFERENCE_SIZE, stored_file, trainable
from sharpen.models.loading import WEIGHTS_FILE

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

    from sharpen.models.hf import HFModel
    from sharpen.models.reward_head import Reading, RewardHead

REFERENCE_LR = 1e-4
REWARD = "reward"
"""Usual name of the part."""


class Loss(StrEnum):
    """What is minimised."""

    LISTWISE = "listwise"
    POINTWISE = "pointwise"


class Origin(StrEnum):
    """Which weights trunk and head start from."""

    BASE = "base"
    POLICY = "policy"
    PREVIOUS = "previous"
    """The reward model that the policy holds under the same name; its policy weights where it has none."""


def listwise_loss(scores: Sequence[Tensor], values: Sequence[Tensor]) -> Tensor:
    """Mean over groups of the mean over ordered pairs; each group's scores [m] stand beside its values [m].

    Groups without two different values count for nothing.
    """
    import torch
    from torch.nn.functional import softplus

    means = []
    for score, value in zip(scores, values, strict=True):
        pairs = value[:, None] > value[None, :]
        if pairs.any():
            means.append(softplus(score[None, :] - score[:, None])[pairs].mean())
    return torch.stack(means).mean() if means else sum(score.sum() for score in scores) * torch.zeros(())


def pointwise_loss(scores: Sequence[Tensor], values: Sequence[Tensor]) -> Tensor:
    """Mean binary cross-entropy of sigmoid(score) against values in [0, 1], over all scores of all groups."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    return binary_cross_entropy_with_logits(torch.cat(list(scores)), torch.cat(list(values)))


class Row(NamedTuple):
    """A response, and what it is worth where it is scored."""

    read: Reading
    values: tuple[float, ...]


class RewardLearner(Record):
    """Trains trunk and head on ratings and puts them into the policy as part `name`; the policy stays."""

    name: str = REWARD
    loss: Loss = Loss.LISTWISE
    start: Origin = Origin.POLICY
    likelihood: bool = False
    """Add the trunk's log-likelihood of the response, with a learnt weight, to the score."""
    epochs: int = Field(default=2, ge=1)
    """Passes over the tasks."""
    tasks_per_step: int = Field(default=4, ge=1)
    """Tasks per optimizer step; all rated attempts of a task are in one step."""
    lr: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Peak learning rate; none means 1e-4 * sqrt(2 M / parameters), and 16 times that for an adapter."""
    weight_decay: float = Field(default=0.0, ge=0)

    @property
    def fingerprint(self) -> str:
        """Hash of the settings."""
        return digest(["reward model", self])

    def update(self, work: Workbench, policy: Policy, batch: Ratings) -> Updated:
        """The policy with a freshly trained reward model; unchanged if there is nothing to compare.

        BadInput for a model that cannot be trained here or ratings that do not fit the responses.
        """
        model = trainable(work.models, policy.model)
        groups = self._groups(model, batch)
        if not groups:
            return Updated(policy=policy, report={"steps": 0, "skipped": "nothing to compare"})
        head, parameters, origin = self._begin(work, policy, model)
        steps = self.epochs * math.ceil(len(groups) / self.tasks_per_step)
        losses = descend(
            work,
            parameters,
            lambda step: self._loss(model, head, self._at(step, groups, work.seed)),
            steps=steps,
            lr=self._peak_lr(model),
            identity=[self.fingerprint, model.fingerprint, origin, [list(group) for group in groups]],
            decay=self.weight_decay,
        )
        return self._finished(work, policy, model, head, groups, losses)

    def _groups(self, model: HFModel, batch: Ratings) -> list[tuple[Row, ...]]:
        """The rows of every task from which something can be learnt."""
        found: dict[str, list[Row]] = {}
        for item in batch.items:
            found.setdefault(item.attempt.task, []).append(_row(model, item))
        groups = [tuple(rows) for rows in found.values()]
        if self.loss is Loss.POINTWISE:
            return groups
        return [rows for rows in groups if len({row.values for row in rows}) > 1]

    def _begin(
        self, work: Workbench, policy: Policy, model: HFModel
    ) -> tuple[RewardHead, dict[str, Parameter], str]:
        """The head, all that is trained by name, and a name for the weights it starts from."""
        from sharpen.models.hf_weights import Lora
        from sharpen.models.reward_head import HEAD_FILE, feature_width, fresh_head, read_head

        if model.dtype != "float32":
            raise BadInput("dtype", model.dtype, "small updates vanish in it", remedy="open it with float32")
        old = policy.parts.get(self.name) if self.start is Origin.PREVIOUS else None
        source = old or (None if self.start is Origin.BASE else policy.weights)
        model.load(stored_file(work.store, source, WEIGHTS_FILE))
        held, device = model.weights.held, model.module.device
        lora = Lora(rank=model.lora_rank, alpha=2.0 * model.lora_rank) if model.lora_rank else None
        width = feature_width(model.head)
        trunk = model.weights.begin(lora, seed=seed_for(work.seed, "adapter"))
        kept = stored_file(work.store, old, HEAD_FILE)
        seed = seed_for(work.seed, "head")
        head = (
            read_head(kept, device) if kept else fresh_head(width, seed, device, likelihood=self.likelihood)
        )
        named = {f"head.{name}": parameter for name, parameter in head.named_parameters()}
        return (
            head,
            {**(trunk if self.likelihood else _used(model, trunk)), **named},
            digest([held, old and old.version]),
        )

    def _at(self, step: int, groups: Sequence[tuple[Row, ...]], seed: int) -> list[tuple[Row, ...]]:
        """The tasks of a step: a seeded order per pass, cut into parts."""
        per_pass = math.ceil(len(groups) / self.tasks_per_step)
        number, place = divmod(step, per_pass)
        order = _order(seed, len(groups), number)
        return [groups[i] for i in order[place * self.tasks_per_step : (place + 1) * self.tasks_per_step]]

    def _loss(self, model: HFModel, head: RewardHead, groups: Sequence[tuple[Row, ...]]) -> Tensor:
        import torch

        from sharpen.models.reward_head import scores_at

        rows = [row for group in groups for row in group]
        flat = iter(scores_at(model.head, head, [row.read for row in rows]))
        scores = [torch.cat([next(flat) for _ in group]) for group in groups]
        values = [
            torch.tensor([value for row in group for value in row.values], device=score.device)
            for group, score in zip(groups, scores, strict=True)
        ]
        return (listwise_loss if self.loss is Loss.LISTWISE else pointwise_loss)(scores, values)

    def _peak_lr(self, model: HFModel) -> float:
        scale = math.sqrt(REFERENCE_SIZE / model.parameters) * (LORA_FACTOR if model.lora_rank else 1.0)
        return REFERENCE_LR * scale if self.lr is None else self.lr

    def _finished(
        self,
        work: Workbench,
        policy: Policy,
        model: HFModel,
        head: RewardHead,
        groups: Sequence[tuple[Row, ...]],
        losses: tuple[float, ...],
    ) -> Updated:
        from sharpen.models.reward_head import HEAD_FILE, save_head

        output = work.scratch / "output"
        shutil.rmtree(output, ignore_errors=True)  # a killed process leaves half-written files there
        model.weights.save(output / WEIGHTS_FILE)
        save_head(head, output / HEAD_FILE)
        files = {name: output / name for name in (WEIGHTS_FILE, HEAD_FILE)}
        artifact = artifact_from(work, Kind.REWARD_MODEL, files, policy)
        rows = [row for group in groups for row in group]
        return Updated(
            policy=policy.with_part(artifact, self.name),
            usage=Usage(trained_tokens=self.epochs * sum(len(row.read.ids) for row in rows)),
            report={"steps": len(losses), "losses": losses, "tasks": len(groups), "responses": len(rows)},
        )


def _row(model: HFModel, item: Rated) -> Row:
    read = read_attempt(model, item.attempt, steps=len(item.values) > 1)
    if read is None or len(read.places) != len(item.values):
        problem = f"{len(item.values)} values for {len(read.places)} lines" if read else "cannot be read"
        raise BadInput(
            "ratings",
            item.attempt.task,
            problem,
            remedy="rate attempts of this model, with one value for a response or one for each of its lines",
        )
    return Row(read, item.values)


@lru_cache(maxsize=4)
def _order(seed: int, size: int, number: int) -> tuple[int, ...]:
    return tuple(random_for(seed, "order", number).sample(range(size), size))


def _used(model: HFModel, parameters: dict[str, Parameter]) -> dict[str, Parameter]:
    """Without the decoder's own head, where it is no part of the trunk: no gradient ever reaches it."""
    own = model.module.get_output_embeddings().weight
    apart = model.head.splits and own is not model.module.get_input_embeddings().weight
    return {name: value for name, value in parameters.items() if not (apart and value is own)}
