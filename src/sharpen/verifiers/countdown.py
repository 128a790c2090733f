"""An arithmetic expression that reaches a target with exactly the given numbers.

The task's metadata holds `numbers` and `target`. The final answer must be an expression of whole numbers,
`+ - * /` and round brackets, without an equation sign. It is evaluated exactly, by a parser of our own.
"""

from __future__ import annotations

from collections import Counter

from sharpen.core.task import Task
from sharpen.core.verdict import Verdict
from sharpen.tasks.arithmetic import Evaluated, evaluate
from sharpen.verifiers.answers import final_answer
from sharpen.verifiers.base import NO_ANSWER, RIGHT, Isolation, bad_reference, cases, wrong

ISOLATION = Isolation.INLINE


def verify(response: str, task: Task) -> Verdict:
    """1 if the expression uses every given number exactly once and equals the target."""
    numbers, target = task.metadata.get("numbers"), task.metadata.get("target")
    if not isinstance(numbers, list) or not isinstance(target, int):
        return bad_reference("the task has no numbers and target")
    found = _expression(response)
    if found is None:
        return NO_ANSWER
    if Counter(map(str, found.numbers)) != Counter(map(str, numbers)):
        return wrong("it does not use exactly the given numbers")
    return RIGHT if found.value == target else wrong(f"it equals {str(found.value)[:40]}")


def extract(response: str) -> str | None:
    """The expression without spaces."""
    final = final_answer(response)
    return "".join(final.text.split()) if final and evaluate(final.text) else None


def _expression(response: str) -> Evaluated | None:
    final = final_answer(response)
    return evaluate(final.text) if final else None


CASES = (
    *cases(
        "6*(18 + 4) - 10",
        question="Calculate 122 using all of these numbers: 18, 6, 10, 4.",
        metadata={"numbers": [18, 6, 10, 4], "target": 122},
        gold=[
            "6*(18 + 4) - 10",
            "18+4=22\n#### (4+18)*6-10",
            "The answer is -10+6*(18+4).",
            r"\boxed{6*(18+4)-10}",
        ],
        near_miss=[
            "",
            "122",
            "None",
            "6*(18+4)-10=122",
            "6*(18-4)-10",
            "6*(18+4)-10+0",
            "6*(18+4)-5-5",
            "6*18+6*4-10",
            "18+6+10+4",
            "6*(18+4-10",
            "6(18+4)-10",
            "10-6*(18+4)",
            "Calculate 122 using all of these numbers: 18, 6, 10, 4.",
        ],
        attack=[
            "122 if 18+6+10+4 else 0",
            "__import__('os').system('true')",
            "6**18**10**4",
            "18/(6-6)+10*4",
            "122 # 18 6 10 4",
            "6*(18+4)-10 or 122",
            "(" * 5000 + "1" + ")" * 5000,
            "-" * 250 + "1",
            "6.0*(18+4)-10",
            "\uff16*(18+4)-10",
            "18e6+10+4",
            ":",
        ],
    ),
    *cases(
        "8/(3 - 8/3)", metadata={"numbers": [8, 3, 8, 3], "target": 24}, gold=["8/(3-8/3)"], near_miss=["8*3"]
    ),
)
