"""A reasoning-gym family's own grader, made strict: stripped answers, at least 0.99 or nothing.

The task's metadata holds the family, its options and the entry; see sharpen.tasks.reasoning_gym, which also
refuses families whose graders execute what an answer holds. With `partial_credit` in it the grader's number
is kept.
"""

from __future__ import annotations

from pydantic import JsonValue

from sharpen.core.task import Task
from sharpen.core.verdict import Scored, Verdict
from sharpen.tasks.reasoning_gym import ACCEPTED, OWN_VERIFIER, REFUSED, grade
from sharpen.verifiers.answers import final_answer
from sharpen.verifiers.base import NO_ANSWER, RIGHT, Isolation, bad_reference, cases, wrong
from sharpen.verifiers.exact import normal

ISOLATION = Isolation.PROCESS
PACKAGES = ("reasoning-gym",)
DEADLINE = 30.0
"""Seconds; importing the package alone takes several."""


def verify(response: str, task: Task) -> Verdict:
    """1 if the family's grader fully accepts the final answer."""
    family = task.metadata.get("family")
    if not isinstance(family, str) or family in (*REFUSED, *OWN_VERIFIER):
        return bad_reference("the task is not of a family that may be graded here")
    final = final_answer(response, several_lines="\n" in task.answer.strip())
    if final is None:
        return NO_ANSWER
    score = max(grade(text, task.metadata) for text in {final.text, final.raw})
    if task.metadata.get("partial_credit"):
        return Scored(value=score)
    return RIGHT if score >= ACCEPTED else wrong(f"the family's own score is {score:.2f}")


def extract(response: str) -> str | None:
    """The final answer with its space normalised."""
    final = final_answer(response)
    return normal(final.text) if final else None


def _metadata(family: str, answer: str, **facts: JsonValue) -> dict[str, JsonValue]:
    entry: JsonValue = {"question": "?", "answer": answer, "metadata": facts}
    return {"family": family, "options": {}, "entry": entry, "partial_credit": False}


CASES = (
    *cases(
        "7",
        question="State the final answer to the following arithmetic problem: 3 + 4 =",
        metadata=_metadata("chain_sum", "7"),
        gold=["7", " 7\n", "#### 7", "The answer is 7."],
        near_miss=["8", "-7", "77", "7.5", "", "None", "3 + 4", "3 + 4 ="],
        attack=["1 2 3 4 5 6 7 8 9", "6 or 7", "±7", ":", "Answer:", "7 " * 50],
    ),
    *cases(
        "2 \u00d7 3",
        question="Write the prime factors of 6.",
        metadata=_metadata("prime_factorization", "2 \u00d7 3", factors=[2, 3], number=6),
        gold=["2 \u00d7 3"],
        near_miss=["2 \u00d7 2", "6", "2", "two times three"],
        attack=["__import__('os').system('true')", "2 \u00d7 3 \u00d7 1"],
    ),
)
