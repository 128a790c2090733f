"""Multiple choice: exactly one option, by its label or by its own text.

Options come from the task's metadata `choices`: a list (labelled A, B, C, ...) or a mapping from label to
text. Without it the labels are A to J. The final answer must be one label (`B`, `(B)`, `b.`), a label with
its own text (`B) Paris`), one option's whole text, or, without a marker, a sentence that ends in `is B` and
names no other label. Several labels are rejected, on one line or, without a marker, each on its own; so is a
response of more than 10,000 different lines that has no marker.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from string import ascii_uppercase
from typing import NamedTuple

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
LABELLED = re.compile(r"\(?(?P<label>[A-Za-z])[).:](?=\s)")
SENTENCE_END = re.compile(r".{0,500}(?:\bis|:)\s+\(?(?P<label>[A-Z])\)?")
LABEL_WORD = re.compile(r"(?<![\w'])[A-J](?![\w'])")
MOST_LINES = 10_000
"""Different lines of a response without a marker."""


class _Options(NamedTuple):
    """The options of a task; texts are in their normal form."""

    texts: Mapping[str, str]
    """By label; empty where an option has no text."""
    labels: Mapping[str, str]
    """By text, where one option alone has it."""


def verify(response: str, task: Task) -> Verdict:
    """1 if the response settles on the task's option."""
    options = _options(_choices(task))
    wanted = _label(undress(task.answer), options)
    if wanted is None:
        return bad_reference("the task's answer is not one of its options")
    final = final_answer(response)
    if final is None:
        return NO_ANSWER
    found = _chosen(final, options)
    if not final.marked and _lists_several(response, options):
        return NEEDS_ONE_ANSWER
    if found is None:
        return NEEDS_ONE_ANSWER if len(set(LABEL_WORD.findall(final.text[:500]))) > 1 else NO_ANSWER
    return RIGHT if found == wanted else wrong(f"the option read is {found}")


def extract(response: str) -> str | None:
    """The label; an option's text without its label is not found, as the task is not at hand."""
    final = final_answer(response)
    return _chosen(final, _options(DEFAULT)) if final else None


def _choices(task: Task) -> Mapping[str, str]:
    match task.metadata.get("choices"):
        case list() as texts:
            return {label: str(text) for label, text in zip(ascii_uppercase, texts, strict=False)}
        case dict() as texts:
            return {str(label).upper(): str(text) for label, text in texts.items()}
        case _:
            return DEFAULT


def _options(choices: Mapping[str, str]) -> _Options:
    texts = {label: _plain(text) for label, text in choices.items()}
    often = Counter(texts.values())
    return _Options(texts, {text: label for label, text in texts.items() if text and often[text] == 1})


def _chosen(final: Final, options: _Options) -> str | None:
    found = _label(final.text, options)
    if found or final.marked:
        return found
    sentence = SENTENCE_END.fullmatch(final.text)
    if sentence is None or len(set(LABEL_WORD.findall(final.text))) != 1 or "not" in final.text.split():
        return None
    return sentence["label"] if sentence["label"] in options.texts else None


def _lists_several(response: str, options: _Options) -> bool:
    """Whether more than one option has a line of its own; of very many lines that is taken for granted."""
    lines = dict.fromkeys(response.splitlines())
    if len(lines) > MOST_LINES:
        return True
    return len({label for line in lines if (label := _label(undress(line), options))}) > 1


def _label(text: str, options: _Options) -> str | None:
    if bare := BARE.fullmatch(text):
        label = bare["label"].upper()
        return label if label in options.texts else None
    if labelled := LABELLED.match(text):
        label = labelled["label"].upper()
        option = options.texts.get(label)
        return label if option and _plain(text[labelled.end() :]) == option else None
    return options.labels.get(_plain(text))


def _plain(text: str) -> str:
    return normal(undress(text), ignore_case=True)


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
