"""Judging texts by how likely a policy finds them: the log-probability of a response, end included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

from sharpen.core.attempt import TEACHES, Attempt
from sharpen.core.engine import Judging
from sharpen.core.policy import Policy
from sharpen.core.records import digest
from sharpen.core.task import Task
from sharpen.core.verdict import Error, Scored, Verdict
from sharpen.learners.batch import example_from
from sharpen.learners.training import trainable
from sharpen.models.loading import load_policy


@dataclass(frozen=True)
class LikelihoodJudge:
    """Values attempts by the log-probability (temperature 1, nats) of what carries loss, under a policy."""

    policy: Policy

    @property
    def fingerprint(self) -> str:
        """Version of the policy."""
        return digest(["likelihood", self.policy.version])

    def judge_by(self, judging: Judging, pairs: Sequence[tuple[Task, Attempt]]) -> list[Verdict]:
        """One verdict per attempt, in order; an error for one without a response."""
        model = trainable(judging.models, self.policy.model)
        said = [any(turn.author in TEACHES for turn in attempt.turns) for _, attempt in pairs]
        read = [
            example_from(attempt, model) for (_, attempt), words in zip(pairs, said, strict=True) if words
        ]
        with judging.stopwatch:
            load_policy(model, self.policy, judging.store)
            known = iter(model.logprobs([(one.prompt_ids, one.response_ids) for one in read]))
        sums = iter([sum(compress(next(known), one.mask)) for one in read])
        return [Scored(value=next(sums)) if words else Error(kind="no response") for words in said]
