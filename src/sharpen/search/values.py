"""What an attempt, ended or not, is held to be worth: by verifier, continuations, or the policy itself."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from statistics import fmean
from typing import NamedTuple

from pydantic import Field

from sharpen.core.attempt import Attempt
from sharpen.core.policy import Decoding, Policy
from sharpen.core.records import Record
from sharpen.core.run import Scope
from sharpen.core.seeds import seed_for
from sharpen.core.task import Task
from sharpen.core.verdict import value_of
from sharpen.judges.reward import scores_of
from sharpen.monitors.calibration import sigmoid

UNKNOWN = 0.5
"""What counts where a verdict is not known: neither right nor wrong."""


class Values(Record):
    """A weighted sum of what different judges say; a weight of 0 asks nobody."""

    verdict: float = Field(default=1.0, ge=0)
    """Of the verdict: on an ended attempt itself, on another by the mean over its continuations."""
    rollouts: int = Field(default=0, ge=0)
    """Continuations of an attempt that has not ended; without any, its verdict counts as 0."""
    rollout_tokens: int = Field(default=96, ge=1)
    """Longest continuation."""
    self_evaluation: float = Field(default=0.0, ge=0)
    """Of the policy's own probability that what stands there is right."""
    question: str = "\nIs this right so far? (A) no (B) yes\nAnswer: ("
    """What the policy is asked after what stands there."""
    yes: str = "B"
    no: str = "A"
    """Beginnings of its answers."""
    likelihood: float = Field(default=0.0, ge=0)
    """Of the geometric mean probability of the policy's tokens."""
    reward: float = Field(default=0.0, ge=0)
    """Of the sigmoid of the score by the reward model that the policy holds."""


class Standing(NamedTuple):
    """An attempt that is to be valued."""

    attempt: Attempt
    ended: bool
    seed: int
    """For its continuations."""


def valued(
    it: Scope, policy: Policy, standing: Sequence[Standing], tasks: Sequence[Task], how: Values
) -> list[float]:
    """The worth of every attempt; one at which nothing stands yet is worth nothing."""
    asked = [one for one in standing if one.attempt.turns]
    attempts = [one.attempt for one in asked]
    found = [0.0] * len(asked)
    if how.verdict and asked:
        found = [how.verdict * value for value in _verdicts(it, policy, asked, tasks, how)]
    if how.self_evaluation and asked:
        own = believed(it, policy, attempts, tasks, how)
        found = [x + how.self_evaluation * y for x, y in zip(found, own, strict=True)]
    if how.likelihood:
        found = [x + how.likelihood * likely(a) for x, a in zip(found, attempts, strict=True)]
    if how.reward and asked:
        scores = scores_of(it, attempts, tasks, policy)
        worth = [UNKNOWN if score is None else sigmoid(score) for score in scores]
        found = [x + how.reward * y for x, y in zip(found, worth, strict=True)]
    values = iter(found)
    return [next(values) if one.attempt.turns else 0.0 for one in standing]


def _verdicts(
    it: Scope, policy: Policy, standing: Sequence[Standing], tasks: Sequence[Task], how: Values
) -> list[float]:
    """Verdicts on ended attempts, mean verdicts on continuations of others."""
    asked = [(place, one.attempt) for place, one in enumerate(standing) if one.ended]
    going = [(place, one) for place, one in enumerate(standing) if not one.ended and how.rollouts]
    if going:
        longer = it.go_on(
            policy,
            [one.attempt for _, one in going for _ in range(how.rollouts)],
            tasks,
            decoding=Decoding(temperature=1.0, max_tokens=how.rollout_tokens, stop=policy.prompt.stop),
            seeds=[seed_for(one.seed, "rollout", n) for _, one in going for n in range(how.rollouts)],
        )
        asked += zip([place for place, _ in going for _ in range(how.rollouts)], longer, strict=True)
    verdicts = it.judge([attempt for _, attempt in asked], tasks) if asked else ()
    known: dict[int, list[float]] = {}
    for (place, _), verdict in zip(asked, verdicts, strict=True):
        value = value_of(verdict)
        known.setdefault(place, []).append(UNKNOWN if value is None else value)
    return [fmean(known.get(place, [0.0])) for place in range(len(standing))]


def believed(
    it: Scope, policy: Policy, attempts: Sequence[Attempt], tasks: Sequence[Task], how: Values
) -> list[float]:
    """The policy's probability of `yes`, from the first token of its likeliest answer to the question.

    0.5 where that begins with neither `yes` nor `no`, or has no log-probability.
    """
    one = Decoding(temperature=0.0, max_tokens=1)
    said = [a.turns[-1] for a in it.go_on(policy, attempts, tasks, inject=how.question, decoding=one)]
    found = []
    for turn in said:
        sure = exp(turn.logprobs[0]) if turn.logprobs else UNKNOWN
        word = turn.text.strip()
        found.append(sure if word[:1] == how.yes[:1] else 1 - sure if word[:1] == how.no[:1] else UNKNOWN)
    return found


def likely(attempt: Attempt) -> float:
    """Geometric mean probability of the policy's tokens; 0 without any."""
    known = [value for turn in attempt.turns for value in turn.logprobs or ()]
    return exp(fmean(known)) if known else 0.0
