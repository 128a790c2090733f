"""Small programs as data: a list of rules that read a question, keep, fold and write an answer.

A pipeline is never code. It is parsed with limits and carried out by this file, which can do nothing but
read the question it is given: no files, no names, no loops of its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, NamedTuple

from pydantic import Field, ValidationError

from sharpen.core.errors import SharpenError
from sharpen.core.records import Record, decode

MAX_RULES = 16
MAX_BYTES = 64_000
MAX_QUESTION = 2_000
MAX_ITEMS = 200
LARGEST = 10**15


class Read(StrEnum):
    """What a rule takes from a question."""

    TEXT = "text"
    NUMBERS = "numbers"
    SIGNED = "signed"
    """Numbers with the sign that stands before them."""
    LETTERS = "letters"
    """Letters that stand alone."""


class Keep(StrEnum):
    """Which of the items stay."""

    ALL = "all"
    FIRST = "first"
    LAST = "last"
    VOWELS = "vowels"


class Fold(StrEnum):
    """How the items become one."""

    FIRST = "first"
    LAST = "last"
    COUNT = "count"
    SUM = "sum"
    PRODUCT = "product"
    REMAINDER = "remainder"
    """The first modulo the last."""
    BASE = "base"
    """The first, written in the base of the last, as a number."""
    LARGEST = "largest"
    WEIGHED = "weighed"
    """The sum of the numbers, each times the rule's weight of its place."""


class Write(StrEnum):
    """The form of the answer."""

    BARE = "bare"
    HASHES = "hashes"
    BRACKETS = "brackets"
    EQUALS = "equals"
    ANGLES = "angles"
    YES_NO = "yes_no"
    """`yes` above the rule's threshold, else `no`."""
    HIGH_LOW = "high_low"


FORMS = {
    Write.BARE: "{}",
    Write.HASHES: "#### {}",
    Write.BRACKETS: "[{}]",
    Write.EQUALS: "= {}",
    Write.ANGLES: "<{}>",
}
LABELS = {Write.YES_NO: ("yes", "no"), Write.HIGH_LOW: ("high", "low")}
Weight = Annotated[int, Field(ge=-4, le=4)]


class Rule(Record):
    """Answers the questions that begin with its word."""

    word: str = Field(default="", max_length=24)
    """First word of the questions it is for; an empty one fits every question."""
    read: Read = Read.TEXT
    keep: Keep = Keep.ALL
    fold: Fold = Fold.FIRST
    write: Write = Write.BARE
    weights: tuple[Weight, ...] = Field(default=(0,) * 6, max_length=12)
    threshold: int = Field(default=0, ge=-60, le=60)

    def fits(self, question: str) -> bool:
        """Whether the rule is for this question."""
        return not self.word or self.word == first_word(question)


class Pipeline(Record):
    """Rules in order; the first that fits answers."""

    rules: tuple[Rule, ...] = Field(default=(Rule(),), max_length=MAX_RULES)

    def place(self, question: str) -> int | None:
        """Which rule answers the question."""
        return next((i for i, rule in enumerate(self.rules) if rule.fits(question)), None)


class Unusable(SharpenError):
    """A stored program is not what it should be."""


Item = int | str


class Answer(NamedTuple):
    """What a pipeline says, and why it says nothing."""

    text: str
    failure: str = ""


def first_word(question: str) -> str:
    """The word a question begins with; empty if it begins with anything else."""
    found = re.match(r"[A-Za-z]{1,24}", question)
    return found[0] if found else ""


def parse_pipeline(data: bytes) -> Pipeline:
    """Read a stored pipeline; Unusable if it is too long or anything but a pipeline."""
    if len(data) > MAX_BYTES:
        raise Unusable(f"a program of {len(data)} bytes is too long", remedy=f"at most {MAX_BYTES}")
    try:
        return decode(Pipeline, data)
    except ValidationError as error:
        raise Unusable(
            f"no pipeline: {error.errors()[0]['msg']}", remedy="see sharpen.stores.pipelines"
        ) from None


def answer(pipeline: Pipeline, question: str) -> Answer:
    """What the pipeline says to a question; an empty text with the reason where a rule fails on it."""
    question = question[:MAX_QUESTION]
    place = pipeline.place(question)
    if place is None:
        return Answer("", "no rule fits")
    rule = pipeline.rules[place]
    items = KEEPERS[rule.keep](READERS[rule.read](question)[:MAX_ITEMS])
    if not items and rule.fold is not Fold.COUNT:
        return Answer("", "nothing was read")
    value = _folded(rule, items)
    return Answer("", f"cannot take {rule.fold} of this") if value is None else Answer(_written(rule, value))


def _written(rule: Rule, value: Item) -> str:
    if rule.write in LABELS:
        above = isinstance(value, int) and value > rule.threshold
        return LABELS[rule.write][0 if above else 1]
    return FORMS[rule.write].format(value)


def _signed(question: str) -> list[Item]:
    return [int(sign + digits) for sign, digits in re.findall(r"([-+]?)(\d{1,15})", question)]


READERS: Mapping[Read, Callable[[str], list[Item]]] = {
    Read.TEXT: lambda question: [question],
    Read.NUMBERS: lambda question: [int(digits) for digits in re.findall(r"\d{1,15}", question)],
    Read.SIGNED: _signed,
    Read.LETTERS: lambda question: list(re.findall(r"\b[a-zA-Z]\b", question)),
}
KEEPERS: Mapping[Keep, Callable[[list[Item]], list[Item]]] = {
    Keep.ALL: lambda items: items,
    Keep.FIRST: lambda items: items[:1],
    Keep.LAST: lambda items: items[-1:],
    Keep.VOWELS: lambda items: [item for item in items if item in ("a", "e", "i", "o", "u")],
}


def _folded(rule: Rule, items: Sequence[Item]) -> Item | None:
    """The items as one; None where that cannot be."""
    match rule.fold:
        case Fold.FIRST:
            return items[0]
        case Fold.LAST:
            return items[-1]
        case Fold.COUNT:
            return len(items)
    numbers = [item for item in items if isinstance(item, int)]
    value = _number(rule, numbers) if len(numbers) == len(items) else None
    return None if value is None or abs(value) > LARGEST else value


def _number(rule: Rule, numbers: Sequence[int]) -> int | None:
    match rule.fold:
        case Fold.SUM:
            return sum(numbers)
        case Fold.PRODUCT:
            return math.prod(numbers[:20])
        case Fold.REMAINDER:
            return numbers[0] % numbers[-1] if numbers[-1] > 0 else None
        case Fold.BASE:
            return _in_base(numbers[0], numbers[-1])
        case Fold.LARGEST:
            return max(numbers)
        case _:
            return sum(weight * number for weight, number in zip(rule.weights, numbers, strict=False))


def _in_base(number: int, base: int) -> int | None:
    digits = [int(digit) for digit in str(abs(number))]
    if not 2 <= base <= 10 or max(digits) >= base:
        return None
    value = 0
    for digit in digits:
        value = value * base + digit
    return value


def form_fixed(examples: Mapping[str, Sequence[tuple[str, str]]]) -> Pipeline:
    """A pipeline that has nothing but the right form: for each domain the one that fits most examples.

    `examples` are (question, answer) by domain. What it scores is the part of a gain that is mere form.
    """
    rules = []
    for _, pairs in sorted(examples.items()):
        word = first_word(pairs[0][0])
        options = [Rule(word=word, read=Read.NUMBERS, write=write) for write in Write]
        rules.append(max(options, key=lambda rule: _right(Pipeline(rules=(rule,)), pairs)))
    return Pipeline(rules=(*rules, Rule())[:MAX_RULES])


def _right(pipeline: Pipeline, pairs: Sequence[tuple[str, str]]) -> int:
    return sum(answer(pipeline, question).text == wanted for question, wanted in pairs)
