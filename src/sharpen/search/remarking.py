"""Refining answers by feedback: the policy's own, or none worth the name. See sharpen.curation.remarks."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from sharpen.core.attempt import Attempt
from sharpen.core.policy import Policy
from sharpen.core.run import Scope
from sharpen.core.task import Task
from sharpen.curation.refinements import under
from sharpen.curation.remarks import AGAIN, CHECK, FINE, all_after


class Feedback(StrEnum):
    """Who says what is wrong with an answer."""

    OWN = "own"
    """The policy itself."""
    CONSTANT = "constant"
    """Nobody: every answer is found right. For ablations."""


def feedback_on(
    it: Scope, policy: Policy, tasks: Sequence[Task], said: Sequence[str], who: Feedback
) -> list[str]:
    """One piece of feedback, drawn greedily, on each answer, in order."""
    if who is Feedback.CONSTANT:
        return [FINE] * len(said)
    return [a.response for a in it.attempt(policy, all_after(tasks, said, CHECK), temperature=0.0)]


def refined(
    it: Scope, policy: Policy, tasks: Sequence[Task], first: Sequence[Attempt], who: Feedback
) -> tuple[Attempt, ...]:
    """Feedback on first answers, then the answers once more, as answers to the bare questions."""
    said = [attempt.response for attempt in first]
    check = all_after(tasks, said, CHECK)
    again = all_after(check, feedback_on(it, policy, tasks, said, who), AGAIN)
    second = it.attempt(policy, again, temperature=0.0)
    return tuple(under(one, two) for one, two in zip(first, second, strict=True))
