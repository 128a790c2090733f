"""Policies that are a pipeline of rules (see sharpen.stores.pipelines): they answer without a model.

The pipeline sees the question alone: neither the answer, nor other tasks, nor any file is in its reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sharpen.actors.base import Stage
from sharpen.core.artifact import Kind
from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.errors import BadInput
from sharpen.core.policy import Decoding, Job, Policy
from sharpen.stores.pipelines import Answer, Pipeline, Unusable, answer, parse_pipeline

TASK_FILE = "task.json"
"""File of a program that is carried out."""


def open_actor(stage: Stage) -> Programmed:
    """The actor, on this stage."""
    return Programmed(stage)


@dataclass(frozen=True)
class Programmed:
    """Carries out the policy's pipeline on every question."""

    stage: Stage

    def act(self, policy: Policy, jobs: Sequence[Job], decoding: Decoding) -> list[Attempt]:
        """One attempt per job, in order; a pipeline that cannot be used answers nothing."""
        try:
            pipeline, failure = self._pipeline(policy), ""
        except Unusable as error:
            pipeline, failure = None, str(error)
        return [_attempt(policy, job, pipeline, failure) for job in jobs]

    def _pipeline(self, policy: Policy) -> Pipeline:
        """The policy's program; a policy without one repeats the question, as the default pipeline does."""
        part = policy.parts.get(Kind.PROGRAM)
        if part is None:
            return Pipeline()
        if TASK_FILE not in part.files:
            raise BadInput("program", sorted(part.files), f"lacks {TASK_FILE}", remedy="choose another actor")
        return parse_pipeline(self.stage.store.get(part.files[TASK_FILE]))


def _attempt(policy: Policy, job: Job, pipeline: Pipeline | None, failure: str) -> Attempt:
    said = answer(pipeline, job.task.question) if pipeline else Answer("", failure)
    return Attempt(
        task=job.task.key,
        index=job.index,
        policy=policy.version,
        turns=(Turn(author=Author.POLICY, text=said.text),),
        round=job.round,
        steps=1,
        outcome={"failure": said.failure} if said.failure else {},
    )
