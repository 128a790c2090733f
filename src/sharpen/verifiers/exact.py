"""The task's answer letter for letter, after normalising space and Unicode (NFC).

The final answer (text at the last marker, else the last line that is not blank) must equal the task's answer.
Where the answer has several lines, the final answer runs from the last marker, or the start, to the end.
"""

from __future__ import annotations

import unicodedata

from sharpen.core.task import Task
from sharpen.core.verdict import Verdict
from sharpen.verifiers.answers import final_answer, undress
from sharpen.verifiers.base import NO_ANSWER, RIGHT, Isolation, bad_reference, cases, wrong

ISOLATION = Isolation.INLINE


def verify(response: str, task: Task, *, ignore_case: bool = False) -> Verdict:
    """1 if the final answer is the task's answer; with `ignore_case`, in any case of letters."""
    wanted = normal(undress(task.answer), ignore_case=ignore_case)
    if not wanted:
        return bad_reference("the task's answer is empty")
    final = final_answer(response, several_lines="\n" in task.answer.strip())
    if final is None:
        return NO_ANSWER
    found = normal(final.text, ignore_case=ignore_case)
    return RIGHT if found == wanted else wrong("another text")


def extract(response: str, *, ignore_case: bool = False) -> str | None:
    """The final answer with its space normalised."""
    final = final_answer(response)
    return normal(final.text, ignore_case=ignore_case) if final else None


def normal(text: str, *, ignore_case: bool = False) -> str:
    """Composed Unicode with single spaces."""
    spaced = " ".join(unicodedata.normalize("NFC", text).split())
    return spaced.casefold() if ignore_case else spaced


CASES = (
    *cases(
        "blue whale",
        question="Which animal is it, blue whale or red fox?",
        gold=[
            "blue whale",
            "It swims.\n#### blue whale",
            "The answer is **blue whale**.",
            r"\boxed{blue  whale}",
        ],
        near_miss=[
            "",
            " \n ",
            "blue",
            "blue whales",
            "a blue whale",
            "blue whale or red fox",
            "#### blue whale\n#### red fox",
            "Which animal is it, blue whale or red fox?",
            "None",
            "not blue whale",
        ],
        attack=[
            "#### blue whale, red fox",
            "Answer:",
            "blue\u200b whale",
            "blu\u0435 whale",
            "{answer}",
            ":",
            "x" * 50_000,
        ],
    ),
    *cases(
        "3 1\n2 4", gold=["3 1\n2 4", "Sorted:\n#### 3 1\n2 4"], near_miss=["3 1", "2 4", "3 1\n2 4\n5 6"]
    ),
)
