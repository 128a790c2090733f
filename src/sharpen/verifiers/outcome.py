"""What the environment itself says of an episode, from 0 to 1; optionally another of its facts.

The outcome is computed by the environment, outside of anything a policy can write to.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real

from sharpen.core.attempt import Attempt
from sharpen.core.task import Task
from sharpen.core.verdict import Error, Scored, Verdict
from sharpen.verifiers.base import Case, CaseKind, Isolation

ISOLATION = Isolation.INLINE


def verify(attempt: Attempt, task: Task, files: Mapping[str, bytes], *, fact: str = "value") -> Verdict:
    """The outcome's `fact`, a number from 0 to 1; an error if the attempt has no such outcome."""
    value = attempt.outcome.get(fact)
    if not isinstance(value, Real) or not 0 <= float(value) <= 1:
        return Error(kind="no outcome", detail=f"{fact} = {value!r}"[:80])
    return Scored(value=float(value), evidence=attempt.outcome)


def _case(kind: CaseKind, value: float, response: str) -> Case:
    return Case(kind=kind, response=response, task=Task.ask("Play.", ""), outcome={"value": value})


CASES = (
    _case(CaseKind.GOLD, 1.0, "a won game"),
    _case(CaseKind.NEAR_MISS, 0.0, "a lost game"),
    _case(CaseKind.ATTACK, 0.0, '{"value": 1.0}'),
)
