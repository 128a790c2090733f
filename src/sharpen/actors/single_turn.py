"""Tasks that are answered in one go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, ClassVar

from sharpen.actors.base import Stage
from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.errors import BadInput
from sharpen.core.policy import Decoding, Job, Policy
from sharpen.models.base import Completion, Encoder, Prompt
from sharpen.models.loading import load_policy, render


def open_actor(stage: Stage) -> SingleTurn:
    """The actor, on this stage."""
    return SingleTurn(stage)


@dataclass(frozen=True)
class SingleTurn:
    """Renders each task once, samples its group, and records prompt and response as two turns.

    A job with a trace goes on after it instead, from its exact tokens.
    """

    moves: ClassVar[bool] = True
    stage: Stage

    def act(self, policy: Policy, jobs: Sequence[Job], decoding: Decoding) -> list[Attempt]:
        """One attempt per job, in order."""
        model = self.stage.models[policy.model]
        groups = [list(group) for _, group in groupby(jobs, key=lambda job: (job.task.key, job.trace))]
        traces = [tokenized(model, policy, group[0].trace) for group in groups]
        prompts = [
            Prompt(
                text="" if trace else render(model, policy, group[0].task),
                seeds=tuple(job.seed for job in group),
                token_ids=tuple(i for turn in trace for i in turn.token_ids),
            )
            for group, trace in zip(groups, traces, strict=True)
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
                trace or (Turn(author=Author.TEMPLATE, text=prompt.text, token_ids=done.prompt_ids),),
                sample,
            )
            for group, trace, prompt, done in zip(groups, traces, prompts, results, strict=True)
            for job, sample in zip(group, done.samples, strict=True)
        ]


def tokenized(model: Any, policy: Policy, trace: Sequence[Turn]) -> tuple[Turn, ...]:
    """The turns with their tokens; BadInput for a model whose tokens are not at hand."""
    if trace and not isinstance(model, Encoder):
        raise BadInput(
            "model", policy.model, "cannot go on from given tokens", remedy="take a local Hugging Face model"
        )
    found: list[Turn] = []
    for turn in trace:
        encode = model.encode_response if found else model.encode
        found.append(turn if turn.token_ids else turn.model_copy(update={"token_ids": encode(turn.text)}))
    return tuple(found)


def _attempt(policy: Policy, job: Job, how: Decoding, trace: tuple[Turn, ...], sample: Completion) -> Attempt:
    return Attempt(
        task=job.task.key,
        index=job.index,
        policy=policy.version,
        turns=(*trace, said(sample, Author.POLICY)),
        stop=sample.stop,
        round=job.round,
        temperature=how.temperature,
    )


def said(sample: Completion, author: Author, role: str = "") -> Turn:
    """A sampled text as a turn."""
    return Turn(
        author=author, text=sample.text, token_ids=sample.token_ids, logprobs=sample.logprobs, role=role
    )
