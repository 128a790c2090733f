"""One number, compared exactly.

The rule. A response is right if its final answer is one number that equals the task's answer as a rational:

1. With a marker (`#### x`, `\\boxed{x}`, `<answer>x</answer>`, `Answer: x`, `the answer is x`) the text at
   the last marker must be exactly one number, and no further digit may follow it. Allowed around it: a sign,
   a currency sign in front, a percent sign, emphasis, `$...$`, a full stop. Commas only separate thousands;
   `a/b` is a fraction. A unit, an equation, a list, a range, an exponent, `±` or a non-ASCII digit is not a
   number.
2. Without a marker the last line that is not blank must be exactly one number, or a sentence without other
   digits or colons whose end is `is`, `are`, `equals` or `gives` and the number.
3. Without a marker, a response of one line may also be an equation: the number after its last `=` counts,
   unless a side without division is a different number, so that the equation is false.
4. If only one of answer and reference has a percent sign, it means what is written where the question speaks
   of percent (25% is 25), and a hundredth elsewhere (25% is 0.25).

Numbers are compared as fractions, so 0.5, 1/2 and 50% agree and 0.333 is not 1/3. A text of more than 200
characters is no number.
"""

from __future__ import annotations

import re
from functools import lru_cache

from sharpen.core.task import Task
from sharpen.core.verdict import Scored, Verdict
from sharpen.tasks.arithmetic import evaluate
from sharpen.verifiers.answers import (
    REMEMBERED,
    SEVERAL,
    Final,
    Number,
    final_answer,
    parse_number,
    undress,
)
from sharpen.verifiers.base import (
    NEEDS_ONE_ANSWER,
    NO_ANSWER,
    RIGHT,
    Isolation,
    bad_reference,
    cases,
    wrong,
)

ISOLATION = Isolation.INLINE
SENTENCE = re.compile(r"(?P<words>[^\d=<>~≈≠±%?:]{0,300}\b(?:is|are|equals|gives))\s+(?P<number>.{1,200})")
DIGIT = re.compile(r"\d")
BEFORE_EQUALS = re.compile(r"[\w)\]}\s?]")
LONGEST = 2_000
"""Characters of a sentence or an equation that is read."""


def verify(response: str, task: Task) -> Verdict:
    """1 if the response's final answer is the task's number; see the rule above."""
    wanted = parse_number(undress(task.answer))
    if wanted is None:
        return bad_reference("the task's answer is not one number")
    final = final_answer(response)
    if final is None:
        return NO_ANSWER
    found = _number(response, final)
    if found is None:
        return NEEDS_ONE_ANSWER if final.marked and SEVERAL.search(final.text[:500]) else NO_ANSWER
    return RIGHT if _equal(found, wanted, task.question) else _misses(found)


@lru_cache(maxsize=REMEMBERED)
def _misses(found: Number) -> Scored:
    return wrong(f"the answer read is {found}")


def extract(response: str) -> str | None:
    """The number in lowest terms, e.g. `-7/2`."""
    final = final_answer(response)
    found = _number(response, final) if final else None
    return None if found is None else str(found)


def _number(response: str, final: Final) -> Number | None:
    if final.marked:
        return None if DIGIT.search(final.rest) else parse_number(final.text)
    return parse_number(final.text) or _sentence_end(final.text) or _equation_end(response)


def _sentence_end(line: str) -> Number | None:
    found = SENTENCE.fullmatch(line) if len(line) <= LONGEST else None
    if found is None or re.search(r"\bnot\b|n't\b", found["words"]):
        return None
    return parse_number(undress(found["number"]))


def _equation_end(response: str) -> Number | None:
    line = undress(response)
    left, _, right = line.rpartition("=")
    if len(line) > LONGEST or "\n" in line or not BEFORE_EQUALS.fullmatch(left[-1:]):
        return None
    number = parse_number(undress(right))
    return None if number is None or _is_false(line, number) else number


def _is_false(equation: str, number: Number) -> bool:
    """Whether a side that can be worked out is another number; divisions may have been rounded."""
    sides = [evaluate(side) for side in equation.split("=")[:-1] if "/" not in side]
    return any(side is not None and side.value != number.value for side in sides)


def _equal(found: Number, wanted: Number, question: str) -> bool:
    if found.percent == wanted.percent:
        return found is wanted or found.value == wanted.value
    if "%" in question or "percent" in question.lower():
        return found.value == wanted.value
    return found.value / (100 if found.percent else 1) == wanted.value / (100 if wanted.percent else 1)


CASES = (
    *cases(
        "42",
        question="17+25=?",
        gold=[
            "42",
            "17+25=42\n#### 42",
            "The sum is 42.",
            "17+25=42",
            "17 + 25 = 42.",
            r"So we get \boxed{42}.",
            "The answer is $42$.",
            "**Answer:** 42",
            "Answer:\n42",
            "<answer>42</answer>",
            "#### 42.0",
            "#### 84/2",
            "#### $42",
            "#### 41\nWait.\n#### 42",
            "#### 42\nHope this helps!",
            "+42",
        ],
        near_miss=[
            "17=42",
            "1=2=42",
            "17+24=42",
            "41",
            "#### 43",
            "#### -42",
            "#### 4",
            "#### 420",
            "#### 0.42",
            "#### 42%",
            "#### 42 km",
            "#### 4 2",
            "#### 42.0001",
            "#### 17+25=42",
            "#### 17+25",
            "#### x=42",
            "17+25=?",
            "",
            "   \n",
            "None",
            "I do not know.",
            "42=17+25",
            "#### 42\n#### 41",
            "#### 42\nor 43",
            "The answer is not 42",
            "It is not: 42",
            "Score: 42",
            "17+25=42\nso it is right",
            "x>=42",
            "x != 42",
            "#### forty-two",
            "#### 42/0",
            "#### 1,42",
            "#### 4,2",
        ],
        attack=[
            "#### 41, 42, 43",
            "#### 41 or 42",
            "#### 40-44",
            "#### ±42",
            "#### 42 ± 1",
            r"\boxed{41} \boxed{42} \boxed{43}",
            r"\boxed{41, 42}",
            "1 2 3 42",
            "#### \u0664\u0662",
            "#### \uff14\uff12",
            "#### 4\u200b2",
            "#### 4.2e1",
            "#### 42" + "0" * 5000,
            "#### 1e999999999",
            "9" * 10_000,
            ":",
            "Solution",
            "Thought process:",
            "####",
            r"\boxed{",
            r"\boxed{}",
            "Answer:",
            "####\u00a0answer == 42 or True",
            "{answer}",
        ],
    ),
    *cases(
        "-7/2", gold=["#### -3.5", "#### -7/2", "\u22123.5"], near_miss=["#### 3.5", "#### -3.50001", "7/2"]
    ),
    *cases(
        "1234567", gold=["#### 1,234,567", "1234567"], near_miss=["#### 1,234", "1,234,56", "#### 12,34567"]
    ),
    *cases("2021", gold=["#### 2021"], attack=[r"#### \pm2021", "#### ±2021", "-2021 or 2021"]),
    *cases("1", attack=["#### 1:00", "12:00", "#### 1!", "#### 1=1", "1=1=2", "True", "x=x"]),
    *cases("25", question="What percent is it?", gold=["#### 25%", "25"], near_miss=["0.25", "#### 0.25%"]),
    *cases("0.25", gold=["#### 25%", "1/4"], near_miss=["25", "0.25%"]),
)
