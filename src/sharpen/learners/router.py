"""Learn to route: a linear embedding of hashed n-grams, trained by multi-positive InfoNCE.

With s the cosine of the embeddings of a skill's description and of a question, over all skills D and
questions Q of the training round, of which D+(q) answered q right and Q+(d) were answered right by d:

    loss = mean_q -log( sum_{d in D+(q)} exp(s / tau) / sum_{d in D} exp(s / tau) )
         + mean_d -log( sum_{q in Q+(d)} exp(s / tau) / sum_{q in Q} exp(s / tau) )

The second term alone is content when a skill attracts one of its kinds of questions; the first asks for each
question. Training is full-batch, on one thread, from a random start of the run's seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import Field

from sharpen.core.artifact import Artifact, Kind
from sharpen.core.policy import Policy
from sharpen.core.records import Record, digest
from sharpen.core.updater import Updated, Workbench
from sharpen.stores.routing import BUCKETS, FILE, PART, bags
from sharpen.stores.skills import Library, read_library


class Pair(Record):
    """A question and a skill that answered it right."""

    question: str
    skill: str


class Pairs(Record):
    """What a router learns from."""

    pairs: tuple[Pair, ...]


class RouterLearner(Record):
    """Updater: (question, skill) pairs -> the policy's part `router`."""

    dimensions: int = Field(default=32, ge=1)
    """Size of an embedding."""
    tau: float = Field(default=0.1, gt=0)
    """Temperature of the scores."""
    steps: int = Field(default=20, ge=1)
    """Optimizer steps over all pairs."""
    lr: float = Field(default=0.02, gt=0)
    """Learning rate of Adam."""

    @property
    def fingerprint(self) -> str:
        """Hash of its settings."""
        return digest(["router", self])

    def update(self, work: Workbench, policy: Policy, batch: Pairs) -> Updated:
        """The policy with a router for its library; unchanged where fewer than two skills have questions."""
        library = read_library(
            policy, {name: work.store.get(sha) for name, sha in policy.parts[Kind.SKILLS].files.items()}
        )
        known = tuple(pair for pair in batch.pairs if library.get(pair.skill) is not None)
        if len({pair.skill for pair in known}) < 2:
            return Updated(policy=policy)
        weights, losses = self._train(library, known, work.seed)
        from safetensors.numpy import save

        artifact = Artifact(
            kind=Kind.WEIGHTS,
            files={FILE: work.store.put(save({"weights": weights}))},
            parents=(policy.version,),
        )
        report = {"pairs": len(known), "first_loss": losses[0], "last_loss": losses[-1]}
        return Updated(policy=policy.with_part(artifact, PART), report=report)

    def _train(self, library: Library, pairs: tuple[Pair, ...], seed: int) -> tuple[Any, list[float]]:
        import torch

        names = sorted({pair.skill for pair in pairs})
        texts = [skill.routing_text for skill in library.skills if skill.name in names]
        with _one_thread():
            asked = sorted({pair.question for pair in pairs})
            questions = torch.from_numpy(bags(asked))
            skills = torch.from_numpy(bags(texts))
            right = {(pair.skill, pair.question) for pair in pairs}
            positive = torch.tensor([[(name, question) in right for question in asked] for name in names])
            start = torch.randn(BUCKETS, self.dimensions, generator=torch.Generator().manual_seed(seed))
            weights = (start / self.dimensions**0.5).requires_grad_()
            optimizer = torch.optim.Adam([weights], lr=self.lr)
            losses = []
            for _ in range(self.steps):
                scores = _cosines(skills @ weights, questions @ weights) / self.tau
                own = scores.masked_fill(~positive, -torch.inf)
                loss = sum((scores.logsumexp(side) - own.logsumexp(side)).mean() for side in (0, 1))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(round(loss.item(), 6))
            return weights.detach().numpy(), losses


def _cosines(left: Any, right: Any) -> Any:
    from torch.nn.functional import normalize

    return normalize(left, dim=1) @ normalize(right, dim=1).T


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in one order, whatever the number of threads elsewhere."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
