"""An editor of pipelines whose habits are data, and so can be edited by itself.

It sees what it is given: the program, how it did on training tasks by domain with examples of what it got
wrong, and what earlier edits were followed by. Held-out scores are no part of its reports.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from pydantic import Field

from sharpen.core.records import Record
from sharpen.search.mutation import varied
from sharpen.stores.pipelines import MAX_RULES, Pipeline, Rule, answer, first_word

LEAST, MOST = 0.02, 50.0


class Aim(StrEnum):
    """Which domain an edit is meant for."""

    ANY = "any"
    MISSING = "missing"
    """In proportion to the score that is missing there."""
    WORST = "worst"


class Improver(Record):
    """Habits of an editor. The defaults know nothing: any change anywhere, never looked at again."""

    edits: int = Field(default=3, ge=1, le=8)
    """Edits in one child."""
    aim: Aim = Aim.ANY
    """For which domain they are made."""
    trials: int = Field(default=1, ge=1, le=12)
    """Tries of an edit until one answers a failed training example; 1 means never to look."""
    recall: float = Field(default=0.1, ge=0.1, le=8.0)
    """How strongly the choice follows what edits of a kind have been followed by so far."""
    split: float = Field(default=1.0, ge=LEAST, le=MOST)
    """Weight of: a rule of its own for a domain, copied from an existing one."""
    drop: float = Field(default=1.0, ge=LEAST, le=MOST)
    """Weight of: a rule less."""
    read: float = Field(default=1.0, ge=LEAST, le=MOST)
    keep: float = Field(default=1.0, ge=LEAST, le=MOST)
    fold: float = Field(default=1.0, ge=LEAST, le=MOST)
    write: float = Field(default=1.0, ge=LEAST, le=MOST)
    """Weights of: another value for that component of a rule."""
    weights: float = Field(default=1.0, ge=LEAST, le=MOST)
    """Weight of: one column's weight moved by one."""
    threshold: float = Field(default=1.0, ge=LEAST, le=MOST)
    """Weight of: the threshold moved."""


KINDS = ("split", "drop", "read", "keep", "fold", "write", "weights", "threshold")
HABITS = ("edits", "aim", "trials", "recall")


class Example(NamedTuple):
    """A training task as a report shows it."""

    question: str
    answer: str


class DomainReport(NamedTuple):
    """How a program did on the training tasks of a domain, with some that it failed, or any if none."""

    score: float
    examples: tuple[Example, ...]


class Past(NamedTuple):
    """What an edit was part of: its kind, and by how much the child's training score differed."""

    kind: str
    gain: float


class Edited(NamedTuple):
    """A changed pipeline and the kinds of the edits, in order."""

    pipeline: Pipeline
    kinds: tuple[str, ...]


def improved(
    improver: Improver,
    pipeline: Pipeline,
    report: Mapping[str, DomainReport],
    past: Sequence[Past],
    rng: random.Random,
) -> Edited:
    """The improver's child of a pipeline."""
    chances = _chances(improver, past)
    kinds = []
    for _ in range(improver.edits):
        example = rng.choice(report[_domain(improver.aim, report, rng)].examples)
        for _ in range(improver.trials):
            kind = rng.choices(KINDS, weights=chances)[0]
            changed = _edited(pipeline, kind, example.question, improver.aim, rng)
            if answer(changed, example.question).text == example.answer:
                break
        pipeline = changed
        kinds.append(kind)
    return Edited(pipeline, tuple(kinds))


def self_edited(improver: Improver, rng: random.Random) -> Improver:
    """The improver with one of its habits changed, or its taste for one kind of edit."""
    names = HABITS if rng.random() < 0.5 else KINDS
    return varied(improver, names, rng)


def _chances(improver: Improver, past: Sequence[Past]) -> list[float]:
    """Weight of each kind, times its rate of gains so far (one of four assumed before) to the `recall`."""
    tries = {kind: 4.0 for kind in KINDS}
    gains = {kind: 1.0 for kind in KINDS}
    for event in past:
        tries[event.kind] += 1
        gains[event.kind] += event.gain > 0
    return [getattr(improver, kind) * (gains[kind] / tries[kind]) ** improver.recall for kind in KINDS]


def _domain(aim: Aim, report: Mapping[str, DomainReport], rng: random.Random) -> str:
    names = sorted(report)
    missing = [1 - report[name].score for name in names]
    if aim is Aim.ANY or not any(missing):
        return rng.choice(names)
    if aim is Aim.MISSING:
        return rng.choices(names, weights=missing)[0]
    return rng.choice([name for name, gap in zip(names, missing, strict=True) if gap == max(missing)])


def _edited(pipeline: Pipeline, kind: str, question: str, aim: Aim, rng: random.Random) -> Pipeline:
    """One edit. An aimless one changes any rule, an aimed one the rule that answers the question."""
    rules, word = list(pipeline.rules), first_word(question)
    if not rules:
        return Pipeline()
    place = pipeline.place(question) if aim is not Aim.ANY else rng.randrange(len(rules))
    if kind == "split" or place is None:
        copied = rng.choice(rules).model_copy(update={"word": word})
        return Pipeline(rules=(copied, *(rule for rule in rules if rule.word != word))[:MAX_RULES])
    match kind:
        case "drop":
            del rules[place]
        case "weights":
            rules[place] = _nudged(rules[place], rng)
        case _:
            rules[place] = varied(rules[place], (kind,), rng)
    return Pipeline(rules=tuple(rules))


def _nudged(rule: Rule, rng: random.Random) -> Rule:
    """The rule with one weight moved by one."""
    if not rule.weights:
        return rule
    weights, column = list(rule.weights), rng.randrange(len(rule.weights))
    weights[column] = min(4, max(-4, weights[column] + rng.choice((-1, 1))))
    return rule.model_copy(update={"weights": tuple(weights)})
