"""Answers to plain tasks with Python as a tool, as episodes in the environment `python_tool`.

The question comes as it does without the tool; a block of code is run, its output is the next turn (author
TOOL, without loss), and the first move without a block is the answer. The attempt is one of the plain task,
so that any verifier can judge it, on whatever set the policy is tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import ClassVar

from sharpen.actors.base import Stage
from sharpen.actors.episodes import Episodes
from sharpen.core.attempt import Attempt
from sharpen.core.errors import BadInput
from sharpen.core.policy import Decoding, Job, Policy
from sharpen.core.task import Message, Role, Task
from sharpen.environments.python_tool import Desk

ROLE = "solver"
TURNS = 4


class Tool(StrEnum):
    """What an answer may use; the values are names of actors."""

    PYTHON = "with_python"


def open_actor(stage: Stage) -> WithPython:
    """The actor, on this stage."""
    return WithPython(Episodes(stage))


@dataclass(frozen=True)
class WithPython:
    """Plays each task as an episode."""

    moves: ClassVar[bool] = True
    episodes: Episodes

    def act(self, policy: Policy, jobs: Sequence[Job], decoding: Decoding) -> list[Attempt]:
        """One attempt per job, in order; BadInput for one that is to go on after given turns."""
        if any(job.trace for job in jobs):
            raise BadInput(
                "actor", Tool.PYTHON, "cannot go on after given turns", remedy="answer without a beam"
            )
        played = [replace(job, task=at_desk(job.task)) for job in jobs]
        attempts = self.episodes.act(policy, played, decoding)
        keys = [job.task.key for job in jobs]
        return [attempt.model_copy(update={"task": key}) for attempt, key in zip(attempts, keys, strict=True)]


def at_desk(task: Task) -> Task:
    """The same question as an episode; what comes before it in a dialogue stays before it."""
    desk = Desk(question=task.question, answer=task.answer, turns=TURNS)
    before = "\n".join(message.content for message in task.messages[:-1])
    return Task(
        messages=(Message(role=Role.USER, content=before),),
        answer=task.answer,
        environment="python_tool",
        world=desk.model_dump(mode="json"),
        role=ROLE,
    )
