"""Choosing among several responses to a task: by a vote on their answers, or by a score.

Attempts of one task count as one group wherever they stand; results come in the order of the tasks' first
attempts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from sharpen.core.attempt import Attempt
from sharpen.core.verdict import Scored, Verdict


def elected(answers: Sequence[str | None], weights: Sequence[float] | None = None) -> str | None:
    """The answer with the largest sum of weights (one each, unless given); the earliest of equals.

    None if nobody has an answer.
    """
    votes: dict[str, float] = defaultdict(float)
    for answer, weight in zip(answers, weights or [1.0] * len(answers), strict=True):
        if answer is not None:
            votes[answer] += weight
    return max(votes, key=votes.__getitem__) if votes else None


def agreeing(
    attempts: Sequence[Attempt], answers: Sequence[str | None], weights: Sequence[float] | None = None
) -> tuple[bool, ...]:
    """Which attempts have the answer that their task's attempts elect."""
    weights = weights or [1.0] * len(attempts)
    winner = {
        task: elected([answers[i] for i in places], [weights[i] for i in places])
        for task, places in _groups(attempts).items()
    }
    return tuple(
        answer is not None and answer == winner[attempt.task]
        for attempt, answer in zip(attempts, answers, strict=True)
    )


def by_vote(
    attempts: Sequence[Attempt], answers: Sequence[str | None], weights: Sequence[float] | None = None
) -> tuple[Verdict, ...]:
    """Verdicts where no answer is known: right is what agrees with the task's elected answer."""
    return tuple(Scored(value=float(agrees)) for agrees in agreeing(attempts, answers, weights))


def best_of(attempts: Sequence[Attempt], scores: Sequence[float | None]) -> tuple[Attempt, ...]:
    """Of every task the attempt with the highest score; the first of equals, unknown scores last."""

    def rank(place: int) -> float:
        score = scores[place]
        return float("-inf") if score is None else score

    return tuple(attempts[max(places, key=rank)] for places in _groups(attempts).values())


def best_by(attempts: Sequence[Attempt], key: Callable[[Attempt], float]) -> tuple[Attempt, ...]:
    """Of every task the attempt with the highest key; the first of equals."""
    return best_of(attempts, [key(attempt) for attempt in attempts])


def voted(
    attempts: Sequence[Attempt], answers: Sequence[str | None], weights: Sequence[float] | None = None
) -> tuple[Attempt, ...]:
    """Of every task the first attempt with the elected answer; the first of all where nobody has one."""
    return best_of(attempts, [float(agrees) for agrees in agreeing(attempts, answers, weights)])


def _groups(attempts: Sequence[Attempt]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = defaultdict(list)
    for place, attempt in enumerate(attempts):
        groups[attempt.task].append(place)
    return groups


def shares(attempts: Sequence[Attempt], answers: Sequence[str | None]) -> tuple[float, ...]:
    """Of every attempt, the share of its task's attempts that have its answer; 0 without an answer."""
    found = [0.0] * len(attempts)
    for places in _groups(attempts).values():
        for place in places:
            if answers[place] is not None:
                same = sum(answers[other] == answers[place] for other in places)
                found[place] = same / len(places)
    return tuple(found)
