"""Answering with many samples, chosen by vote or by a reward model; and watching how good that model is."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from math import isqrt
from statistics import fmean

from pydantic import Field

from sharpen.core.attempt import Attempt
from sharpen.core.budget import Purpose
from sharpen.core.policy import Policy
from sharpen.core.records import Record
from sharpen.core.run import Scope
from sharpen.core.task import Task
from sharpen.core.verdict import Verdict, value_of
from sharpen.curation.voting import best_of, by_vote, voted
from sharpen.judges.reward import scores_of
from sharpen.monitors.calibration import score_quality
from sharpen.search.lockstep import Beam
from sharpen.search.steps import Steps, search_steps
from sharpen.search.values import Values


class Choice(StrEnum):
    """Which of several samples is the answer."""

    GREEDY = "greedy"
    """No choice: one sample at temperature 0."""
    MAJORITY = "majority"
    BEST = "best"
    """The best by the reward model."""
    BEAM = "beam"
    """The best by the reward model of a beam of steps, which it guides."""


class Choosing(Record):
    """How an answer is chosen."""

    choice: Choice = Choice.BEST
    n: int = Field(default=8, ge=1)
    """Samples to choose among; a beam draws so many at every step, and keeps the square root of them."""
    temperature: float = Field(default=0.7, gt=0)
    """Their temperature."""


def best_of_n(scope: Scope, policy: Policy, tasks: Sequence[Task], how: Choosing) -> tuple[Attempt, ...]:
    """One attempt per task; no label is looked at. A procedure for `run.workflow`."""
    if how.choice is Choice.GREEDY:
        return scope.attempt(policy, tasks, temperature=0.0)
    if how.choice is Choice.BEAM:
        return beam_of_n(scope, policy, tasks, how)
    attempts = scope.attempt(policy, tasks, samples=how.n, temperature=how.temperature)
    if how.choice is Choice.MAJORITY:
        return voted(attempts, scope.answers(attempts))
    return best_of(attempts, scores_of(scope, attempts, tasks, policy))


def beam_of_n(scope: Scope, policy: Policy, tasks: Sequence[Task], how: Choosing) -> tuple[Attempt, ...]:
    """The best answer of a beam per task, whose steps are lines that the policy's reward model values."""
    keep = isqrt(how.n)
    steps = Steps(
        first=how.n,
        width=how.n // keep,
        temperature=how.temperature,
        values=Values(verdict=0.0, reward=1.0),
    )
    trees = scope.search(search_steps, policy, tasks, steps, Beam(keep=keep))
    return tuple(tree.attempt(tree.best) for tree in trees.items)


def votes_of(
    it: Scope, attempts: Sequence[Attempt], tasks: Sequence[Task], weights: Sequence[float] | None
) -> tuple[Verdict, ...]:
    """Verdicts by (weighted) vote, for tasks whose answers are not looked at.

    Recorded as `votes_right`, and counted as evaluation: the share of tasks whose elected answer is right.
    """
    votes = by_vote(attempts, it.answers(attempts), weights)
    truth = it.scope("watch-votes", purpose=Purpose.EVALUATION).judge(attempts, tasks)
    elected = {a.task: value_of(t) for a, v, t in zip(attempts, votes, truth, strict=True) if value_of(v)}
    it.measure(votes_right=sum(value or 0.0 for value in elected.values()) / len(tasks))
    return votes


def watch_reward(it: Scope, policy: Policy, scorer: Policy, tasks: Sequence[Task], how: Choosing) -> None:
    """Record, on tasks that nothing learns from, what `n` samples of a policy are worth.

    `mean`, `majority`, `best` (by the scorer's reward model) and `any` of them; the mean `score`; how well
    scores are ordered and calibrated. Counted as evaluation.
    """
    place = it.scope("watch", purpose=Purpose.EVALUATION)
    attempts = place.attempt(policy, tasks, samples=how.n, temperature=how.temperature)
    truth = place.judge(attempts, tasks)
    scores = scores_of(place, attempts, tasks, scorer)
    chosen = {
        "majority": voted(attempts, place.answers(attempts)),
        "best": best_of(attempts, scores),
    }
    right = {(a.task, a.index): (value_of(v) or 0.0) for a, v in zip(attempts, truth, strict=True)}
    solved: dict[str, float] = {}
    for (task, _), value in right.items():
        solved[task] = max(value, solved.get(task, 0.0))
    picked = {name: fmean(right[a.task, a.index] for a in some) for name, some in chosen.items()}
    it.measure(
        mean=fmean(right.values()), **picked, any=fmean(solved.values()), **_quality(attempts, truth, scores)
    )


def _quality(
    attempts: Sequence[Attempt], truth: Sequence[Verdict], scores: Sequence[float | None]
) -> dict[str, float]:
    known = [
        (attempt.task, value > 0.5, score)
        for attempt, verdict, score in zip(attempts, truth, scores, strict=True)
        if score is not None and (value := value_of(verdict)) is not None
    ]
    tasks, right, found = zip(*known, strict=True) if known else ((), (), ())
    return {**score_quality(tasks, right, found), **({"score": fmean(found)} if found else {})}
