"""Judging texts by how likely a policy finds them: the log-probability of a response, end included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sharpen.core.attempt import Attempt
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
    """Values attempts by their log-probability (temperature 1, nats) under a policy's weights."""

    policy: Policy

    @property
    def fingerprint(self) -> str:
        """Version of the policy."""
        return digest(["likelihood", self.policy.version])

    def judge_by(self, judging: Judging, pairs: Sequence[tuple[Task, Attempt]]) -> list[Verdict]:
        """One verdict per attempt, in order; an error for one without a response."""
        model = trainable(judging.models, self.policy.model)
        examples = [example_from(attempt, model) for _, attempt in pairs]
        read = [(e.prompt_ids, e.response_ids) for e in examples if e.response_ids]
        with judging.stopwatch:
            load_policy(model, self.policy, judging.store)
            known = iter(model.logprobs(read))
        return [
            Scored(value=sum(next(known))) if example.response_ids else Error(kind="no response")
            for example in examples
        ]
