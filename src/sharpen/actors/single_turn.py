"""Tasks that are answered in one go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, ClassVar

from sharpen.actors.base import Stage
from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.dialogue import Calling, Shape
from sharpen.core.errors import BadInput
from sharpen.core.policy import Decoding, Job, Policy
from sharpen.models.base import Completion, Completions, Encoder, Prompt
from sharpen.models.dialogue import recorded
from sharpen.models.loading import Caller, load_policy, render


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
        by_prompt = groupby(jobs, key=lambda job: (job.task.key, job.trace, job.shape))
        groups = [list(group) for _, group in by_prompt]
        traces = [tokenized(model, policy, group[0].trace) for group in groups]
        prompts = [_prompt(model, policy, *pair) for pair in zip(groups, traces, strict=True)]
        how = decoding._replace(stop=decoding.stop or policy.prompt.stop)
        with self.stage.stopwatch:
            load_policy(model, policy, self.stage.store)
            results = model.sample(prompts, how)
        return [
            _attempt(
                policy,
                job,
                how,
                trace or (_asked(prompt, done),),
                sample,
            )
            for group, trace, prompt, done in zip(groups, traces, prompts, results, strict=True)
            for job, sample in zip(group, done.samples, strict=True)
        ]


def _prompt(model: Any, policy: Policy, group: Sequence[Job], trace: Sequence[Turn]) -> Prompt:
    """What is asked for jobs that differ in their seeds alone."""
    shape = group[0].shape
    return Prompt(
        text="" if trace else render(model, policy, group[0].task, shape.tools),
        seeds=tuple(job.seed for job in group),
        prefix=_start(model, shape),
        token_ids=tuple(i for turn in trace for i in turn.token_ids),
        schema=shape.json_schema,
        tools=shape.tools,
        calling=shape.calling,
    )


def _start(model: Any, shape: Shape) -> str:
    """The start that an answer is made to have where it has to be a call, by models that know none of that.

    BadInput where such a start is not known.
    """
    if shape.calling is Calling.MAY or not isinstance(model, Caller):
        return ""
    if (start := model.opening(shape.tools)) is None:
        raise BadInput("tool_choice", "required", "cannot be forced here", remedy="leave it to the model")
    return start


def _asked(prompt: Prompt, done: Completions) -> Turn:
    return Turn(author=Author.TEMPLATE, text=recorded(prompt.text), token_ids=done.prompt_ids)


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
    turn = said(sample, Author.POLICY)
    return Attempt(
        task=job.task.key,
        index=job.index,
        policy=policy.version,
        turns=(*trace, turn.model_copy(update={"calls": sample.calls}) if sample.calls else turn),
        stop=sample.stop,
        round=job.round,
        temperature=how.temperature,
    )


def said(sample: Completion, author: Author, role: str = "") -> Turn:
    """A sampled text as a turn."""
    return Turn(
        author=author, text=sample.text, token_ids=sample.token_ids, logprobs=sample.logprobs, role=role
    )
