"""Tasks that are answered in one go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from sharpen.actors.base import Stage
from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.policy import Decoding, Job, Policy
from sharpen.models.base import Completion, Prompt
from sharpen.models.loading import load_policy, render


def open_actor(stage: Stage) -> SingleTurn:
    """The actor, on this stage."""
    return SingleTurn(stage)


@dataclass(frozen=True)
class SingleTurn:
    """Renders each task once, samples its group, and records prompt and response as two turns."""

    stage: Stage

    def act(self, policy: Policy, jobs: Sequence[Job], decoding: Decoding) -> list[Attempt]:
        """One attempt per job, in order."""
        model = self.stage.models[policy.model]
        groups = [list(group) for _, group in groupby(jobs, key=lambda job: (job.task.key, job.prefix))]
        prompts = [
            Prompt(
                text=render(model, policy, group[0].task),
                seeds=tuple(job.seed for job in group),
                prefix=group[0].prefix,
            )
            for group in groups
        ]
        how = decoding._replace(stop=decoding.stop or policy.prompt.stop)
        with self.stage.stopwatch:
            load_policy(model, policy, self.stage.store)
            results = model.sample(prompts, how)
        return [
            _attempt(
                policy,
                job,
                how,
                Turn(author=Author.TEMPLATE, text=prompt.text, token_ids=done.prompt_ids),
                sample,
            )
            for group, prompt, done in zip(groups, prompts, results, strict=True)
            for job, sample in zip(group, done.samples, strict=True)
        ]


def _attempt(policy: Policy, job: Job, how: Decoding, prompt: Turn, sample: Completion) -> Attempt:
    return Attempt(
        task=job.task.key,
        index=job.index,
        policy=policy.version,
        turns=(prompt, said(sample, Author.POLICY)),
        stop=sample.stop,
        round=job.round,
        temperature=how.temperature,
    )


def said(sample: Completion, author: Author, role: str = "") -> Turn:
    """A sampled text as a turn."""
    return Turn(
        author=author, text=sample.text, token_ids=sample.token_ids, logprobs=sample.logprobs, role=role
    )
