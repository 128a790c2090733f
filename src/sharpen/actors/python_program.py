"""Policies that are a Python program: its `task_agent.py` answers every question in the sandbox.

The questions of one call share a process, each once and guarded by itself (see sharpen.sandbox.asking). The
program sees the questions alone. An attempt without an answer says why in its outcome.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sharpen.actors.base import Stage
from sharpen.core.artifact import Kind
from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.errors import BadInput
from sharpen.core.policy import Decoding, Job, Policy
from sharpen.sandbox.asking import Said, ask
from sharpen.sandbox.process import Limits
from sharpen.stores.programs import TASK_FILE, TASK_FUNCTION

TOGETHER = 100
"""Questions in one process at most."""
LIMITS = Limits(seconds=10.0, output=1_000_000)


def open_actor(stage: Stage) -> PythonProgrammed:
    """The actor, on this stage."""
    return PythonProgrammed(stage)


@dataclass(frozen=True)
class PythonProgrammed:
    """Asks the policy's program."""

    stage: Stage

    def act(self, policy: Policy, jobs: Sequence[Job], decoding: Decoding) -> list[Attempt]:
        """One attempt per job, in order."""
        part = policy.parts.get(Kind.PROGRAM)
        if part is None or TASK_FILE not in part.files:
            raise BadInput("program", policy.version, f"lacks {TASK_FILE}", remedy="choose another actor")
        files = {name: self.stage.store.get(sha) for name, sha in part.files.items()}
        questions = list(dict.fromkeys(job.task.question for job in jobs))
        said: list[Said] = []
        for start in range(0, len(questions), TOGETHER):
            some = questions[start : start + TOGETHER]
            said += ask(files, TASK_FILE, TASK_FUNCTION, some, limits=LIMITS)
        answers = dict(zip(questions, said, strict=True))
        return [_attempt(policy, job, answers[job.task.question]) for job in jobs]


def _attempt(policy: Policy, job: Job, said: Said) -> Attempt:
    return Attempt(
        task=job.task.key,
        index=job.index,
        policy=policy.version,
        turns=(Turn(author=Author.POLICY, text=said.answer),),
        round=job.round,
        steps=1,
        outcome={
            "failed": float(not said.answer),
            "held": said.level,
            **({"failure": said.reason} if said.reason else {}),
        },
    )
