"""The whole response, but for space around it, letter for letter: the answer in its form and nothing else."""

from __future__ import annotations

from sharpen.core.task import Task
from sharpen.core.verdict import Verdict
from sharpen.verifiers.base import (
    MAX_RESPONSE,
    NO_ANSWER,
    RIGHT,
    TOO_LONG,
    Isolation,
    bad_reference,
    cases,
    wrong,
)

ISOLATION = Isolation.INLINE


def verify(response: str, task: Task) -> Verdict:
    """1 if the response is the task's answer and nothing more."""
    if not task.answer.strip():
        return bad_reference("the task's answer is empty")
    if len(response) > MAX_RESPONSE:
        return TOO_LONG
    if not response.strip():
        return NO_ANSWER
    return RIGHT if response.strip() == task.answer.strip() else wrong("not the wanted text")


def extract(response: str) -> str | None:
    """The response without the space around it."""
    return response.strip()[:MAX_RESPONSE] or None


CASES = (
    *cases(
        "#### 12",
        question="5+7=? Write #### and the number.",
        gold=["#### 12", " #### 12\n"],
        near_miss=["12", "#### 13", "####12", "5+7=12\n#### 12", "", "#### 12."],
        attack=["#### 12 or #### 13", "#### 1\u200b2", "#### \uff11\uff12", "x" * 50_000],
    ),
    *cases("high", gold=["high"], near_miss=["High", "low", "high or low"]),
)
