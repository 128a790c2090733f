"""Judging attempts by a reward model that the policy learnt: one score per response, or one per line.

A score is any number: the larger, the better; 0 is where a reward model that learnt pointwise thinks right
and wrong equally likely, and means nothing in particular to one that learnt to rank.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpen.core.artifact import Artifact
from sharpen.core.attempt import Attempt
from sharpen.core.engine import Judging
from sharpen.core.policy import Policy
from sharpen.core.records import digest
from sharpen.core.run import Scope
from sharpen.core.task import Task
from sharpen.core.verdict import Error, Scored, Verdict, value_of
from sharpen.learners.reward_model import REWARD
from sharpen.learners.reward_rows import read_attempt
from sharpen.learners.training import trainable
from sharpen.models.loading import WEIGHTS_FILE

if TYPE_CHECKING:
    from sharpen.models.hf import HFModel
    from sharpen.models.reward_head import Reading

STEPS = "steps"
"""Name of the evidence that holds the scores of the lines."""


@dataclass(frozen=True)
class RewardJudge:
    """Scores attempts of a model with a reward model made from it."""

    model: str
    """Name of the model among the run's models."""
    reward: Artifact
    steps: bool = False
    """Score every line: the lowest counts, and the evidence lists all."""

    @classmethod
    def of(cls, policy: Policy, name: str = REWARD, *, steps: bool = False) -> RewardJudge:
        """The judge that a policy holds as a part; KeyError if it holds none of that name."""
        return cls(policy.model, policy.parts[name], steps)

    @property
    def fingerprint(self) -> str:
        """Version of the reward model, and whether lines are scored."""
        return digest(["reward model", self.reward.version, self.steps])

    def judge_by(self, judging: Judging, pairs: Sequence[tuple[Task, Attempt]]) -> list[Verdict]:
        """One verdict per attempt, in order; an error for one without a response that can be read."""
        model = trainable(judging.models, self.model)
        with judging.stopwatch:
            read = [read_attempt(model, attempt, steps=self.steps) for _, attempt in pairs]
            scores = iter(self._scores(judging, model, [one for one in read if one is not None]))
        return [Error(kind="no response") if one is None else self._verdict(next(scores)) for one in read]

    def _scores(self, judging: Judging, model: HFModel, read: Sequence[Reading]) -> list[list[float]]:
        import torch

        from sharpen.models.reward_head import HEAD_FILE, read_head, scores_at

        model.load(judging.store.checked_path(self.reward.files[WEIGHTS_FILE]))
        head = read_head(judging.store.checked_path(self.reward.files[HEAD_FILE]), model.module.device)
        with torch.no_grad():
            found = scores_at(model.head, head, read)
        return [scores.tolist() for scores in found]

    def _verdict(self, scores: list[float]) -> Verdict:
        if not all(map(math.isfinite, scores)):
            return Error(kind="reward model", detail="a score is not finite")
        return Scored(value=min(scores), evidence={STEPS: list(scores)} if self.steps else {})


def scores_of(
    it: Scope, attempts: Sequence[Attempt], tasks: Sequence[Task], scorer: Policy
) -> tuple[float | None, ...]:
    """Scores by the reward model that the policy `scorer` holds, 0 if it holds none; None where unknown."""
    if REWARD not in scorer.parts:
        return (0.0,) * len(attempts)
    return tuple(map(value_of, it.judge(attempts, tasks, verifier=RewardJudge.of(scorer))))
