"""Answering by revision: the question is put again and again with the last answer in the dialogue."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from sharpen.core.attempt import Attempt
from sharpen.core.policy import Policy
from sharpen.core.records import Record
from sharpen.core.run import Scope
from sharpen.core.task import Task
from sharpen.core.verdict import value_of
from sharpen.curation.asked_again import Wording, asked_again


class Revising(Record):
    """How often, and how it is asked for."""

    revisions: int = Field(ge=0)
    """Answers after the first one; the last one counts."""
    wording: Wording = Wording.NEUTRAL
    """How the question is put again."""


def revised(scope: Scope, policy: Policy, tasks: Sequence[Task], how: Revising) -> tuple[Attempt, ...]:
    """Answer greedily, then revise, with no rule for stopping: a workflow's procedure.

    Facts `q_0`, `q_1`, ... are the verdicts on the answers; they are reported, and steer nothing.
    """
    attempts = scope.attempt(policy, tasks, temperature=0.0)
    values = [[value_of(verdict) for verdict in scope.judge(attempts, tasks)]]
    for _ in range(how.revisions):
        again = [asked_again(t, a.response, how.wording) for t, a in zip(tasks, attempts, strict=True)]
        attempts = scope.attempt(policy, again, temperature=0.0)
        values.append([value_of(verdict) for verdict in scope.judge(attempts, again)])
    facts = [{f"q_{k}": v for k, v in enumerate(row) if v is not None} for row in zip(*values, strict=True)]
    return tuple(a.model_copy(update={"outcome": fact}) for a, fact in zip(attempts, facts, strict=True))
