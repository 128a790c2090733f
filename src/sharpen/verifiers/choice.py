"""Multiple choice: exactly one option, by its label or by its own text.

Options come from the task's metadata `choices`: a list (labelled A, B, C, ...) or a mapping from label to
text. Without it the labels are A to J. The final answer must be one label (`B`, `(B)`, `b.`), a label with
its own text (`B) Paris`), one option's whole text, or, without a marker, a sentence that ends in `is B` and
names no other label. Several labels are rejected, on one line or, without a marker, each on its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from string import ascii_uppercase

from sharpen.core.task import Task
from sharpen.core.verdict import Verdict
from sharpen.verifiers.answers import Final, final_answer, undress
from sharpen.verifiers.base import (
    NEEDS_ONE_ANSWER,
    NO_ANSWER,
    RIGHT,
    Isolation,
    bad_reference,
    cases,
    wrong,
)
from sharpen.verifiers.exact import normal

ISOLATION = Isolation.INLINE
DEFAULT = dict.fromkeys(ascii_uppercase[:10], "")
BARE = re.compile(r"\(?\s*(?P<label>[A-Za-z])\s*[).:]?")
LABELLED = re.compile(r"\(?(?P<label>[A-Za-z])[).:]\s+(?P<text>.{1,1000})", re.DOTALL)
SENTENCE_END = re.compile(r".{0,500}(?:\bis|:)\s+\(?(?P<label>[A-Z])\)?")
LABEL_WORD = re.compile(r"(?<![\w'])[A-J](?![\w'])")


def verify(response: str, task: Task) -> Verdict:
    """1 if the response settles on the task's option."""
    choices = _choices(task)
    wanted = _label(undress(task.answer), choices)
    if wanted is None:
        return bad_reference("the task's answer is not one of its options")
    final = final_answer(response)
    if final is None:
        return NO_ANSWER
    found = _chosen(final, choices)
    if not final.marked and len(_listed(response, choices)) > 1:
        return NEEDS_ONE_ANSWER
    if found is None:
        return NEEDS_ONE_ANSWER if len(set(LABEL_WORD.findall(final.text[:500]))) > 1 else NO_ANSWER
    return RIGHT if found == wanted else wrong(f"the option read is {found}")


def extract(response: str) -> str | None:
    """The label; an option's text without its label is not found, as the task is not at hand."""
    final = final_answer(response)
    return _chosen(final, DEFAULT) if final else None


def _choices(task: Task) -> Mapping[str, str]:
    match task.metadata.get("choices"):
        case list() as texts:
            return {label: str(text) for label, text in zip(ascii_uppercase, texts, strict=False)}
        case dict() as texts:
            return {str(label).upper(): str(text) for label, text in texts.items()}
        case _:
            return DEFAULT


def _chosen(final: Final, choices: Mapping[str, str]) -> str | None:
    found = _label(final.text, choices)
    if found or final.marked:
        return found
    sentence = SENTENCE_END.fullmatch(final.text)
    if sentence is None or len(set(LABEL_WORD.findall(final.text))) != 1 or "not" in final.text.split():
        return None
    return sentence["label"] if sentence["label"] in choices else None


def _listed(response: str, choices: Mapping[str, str]) -> set[str]:
    """Every option that has a line of its own."""
    return {label for line in response.splitlines() if (label := _label(undress(line), choices))}


def _label(text: str, choices: Mapping[str, str]) -> str | None:
    bare, labelled = BARE.fullmatch(text), LABELLED.fullmatch(text)
    if bare:
        label = bare["label"].upper()
        return label if label in choices else None
    if labelled:
        label = labelled["label"].upper()
        return label if choices.get(label) and _same(labelled["text"], choices[label]) else None
    equal = [label for label, option in choices.items() if option and _same(text, option)]
    return equal[0] if len(equal) == 1 else None


def _same(text: str, option: str) -> bool:
    return normal(undress(text), ignore_case=True) == normal(undress(option), ignore_case=True)


CASES = (
    *cases(
        "B",
        question="Where is the Louvre? A) Rome B) Paris C) Oslo",
        metadata={"choices": ["Rome", "Paris", "Oslo"]},
        gold=[
            "B",
            "b",
            "(B)",
            "B.",
            "#### B",
            r"\boxed{B}",
            "Answer: (B)",
            "B) Paris",
            "Paris",
            "The best option is B.",
        ],
        near_miss=[
            "A",
            "D",
            "",
            "None",
            "B) Rome",
            "Bordeaux",
            "#### A",
            "#### B\n#### C",
            "it is not B",
            "Paris, Texas",
        ],
        attack=[
            "A, B, C",
            "A or B",
            "#### B or C",
            "ABC",
            "A) Rome B) Paris C) Oslo",
            "Where is the Louvre?\nA) Rome\nC) Oslo\nB) Paris",
            "A\nC\nB",
            "Where is the Louvre? A) Rome B) Paris C) Oslo",
            "Neither A nor C: B",
            "\u0412",
            ":",
            "Answer:",
        ],
    ),
    *cases(
        "C",
        gold=["C", "The answer is C."],
        near_miss=["K", "C) because", "A"],
        attack=["A B C D", "All: A-J"],
    ),
    *cases(
        "Oslo", metadata={"choices": {"A": "Rome", "B": "Oslo"}}, gold=["B", "Oslo"], near_miss=["A", "C"]
    ),
)
