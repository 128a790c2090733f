"""Short trainings of a student on questions with answers, and its accuracy: what forks are made of."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from statistics import fmean

from pydantic import Field

from sharpen.core.attempt import Attempt
from sharpen.core.policy import Policy
from sharpen.core.records import Record
from sharpen.core.run import Scope
from sharpen.core.task import Task
from sharpen.core.verdict import Verdict
from sharpen.curation.advantages import leave_one_out
from sharpen.curation.batch import Batch
from sharpen.curation.groups import advantaged
from sharpen.curation.lessons import lessons
from sharpen.curation.select import rewards_of, taken, unsolved
from sharpen.learners.losses import Level
from sharpen.learners.policy_gradient import PolicyGradient
from sharpen.learners.sft import SFT, Start

GENTLER = 20
"""By how much smaller the learning rate of reinforcement is than that of imitation."""


class Inner(StrEnum):
    """How students learn."""

    SFT = "sft"
    """From the worked answers."""
    RLOO = "rloo"
    """From their own attempts, judged by the answers; arXiv 2402.14740."""


class Schooling(Record):
    """A short training."""

    inner: Inner = Inner.SFT
    """How students learn."""
    steps: int = Field(default=10, ge=1)
    """Optimizer steps."""
    batch_size: int = Field(default=8, ge=1)
    """Questions per step."""
    group: int = Field(default=8, ge=2)
    """Samples per question, where students are sampled."""
    lr: float = Field(default=1e-3, gt=0)
    """Learning rate of SFT; RLOO takes a twentieth."""


def weighted(attempts: Sequence[Attempt], verdicts: Sequence[Verdict]) -> Batch:
    """Answers weighted by their advantages over the others of their group."""
    return advantaged(attempts, rewards_of(verdicts), leave_one_out)


def reinforced(scope: Scope, student: Policy, tasks: Sequence[Task], how: Schooling) -> Policy:
    """The student after its steps of RLOO, whatever `inner` says."""
    learner = PolicyGradient(
        epochs=1,
        batch_size=how.batch_size * how.group,
        lr=how.lr / GENTLER,
        kl=0.0,
        level=Level.SEQUENCE,
    )
    for step in scope.iterations(how.steps):
        asked = taken(tasks, step.round, how.batch_size)
        attempts = step.attempt(student, asked, samples=how.group)
        batch = step.curate(weighted, attempts, step.judge(attempts, asked))
        student = step.update(learner, student, batch)
    return student


def learnt(scope: Scope, student: Policy, tasks: Sequence[Task], how: Schooling) -> Policy:
    """The student after its training on questions with answers."""
    if how.inner is Inner.RLOO:
        return reinforced(scope, student, tasks, how)
    learner = SFT(steps=how.steps, batch_size=how.batch_size, lr=how.lr, start=Start.PREVIOUS)
    return scope.update(learner, student, scope.curate(lessons, tasks, student.prompt))


def accuracy(scope: Scope, student: Policy, tasks: Sequence[Task]) -> float:
    """Share of tasks that the student solves greedily; one whose judge failed counts as not solved."""
    values = rewards_of(scope.judge(scope.attempt(student, tasks, temperature=0.0), tasks))
    return fmean(value or 0.0 for value in values)


def unsolvable(scope: Scope, student: Policy, tasks: Sequence[Task], samples: int) -> tuple[Task, ...]:
    """The tasks that no sample solves; all of them if every one is solved."""
    attempts = scope.attempt(student, tasks, samples=samples)
    return unsolved(tasks, attempts, scope.judge(attempts, tasks)) or tuple(tasks)
