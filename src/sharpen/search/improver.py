"""An editor of pipelines whose habits are data, and so can be edited by itself.

It sees what it is given: the program, how it did on training tasks by domain with examples of what it got
wrong, and what earlier edits were followed by. Held-out scores are no part of its reports.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar, NamedTuple

from pydantic import Field, JsonValue

from sharpen.core.artifact import Artifact, ArtifactStore, Kind
from sharpen.core.policy import Policy
from sharpen.core.records import Record, decode, digest, encode
from sharpen.core.seeds import random_for
from sharpen.core.updater import Updated, Workbench
from sharpen.search.mutation import varied
from sharpen.stores.archive import Flag
from sharpen.stores.pipelines import MAX_RULES, Pipeline, Rule, answer, first_word, parse_pipeline

LEAST, MOST = 0.02, 50.0
TASK_FILE, IMPROVER_FILE = "task.json", "improver.json"
"""The two files of a program that improves itself."""


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


class Tally(NamedTuple):
    """How often edits of a kind were made, and how often the child then scored above its parent."""

    tries: int
    gains: int


class Brief(Record):
    """All that an improver is told."""

    report: Mapping[str, DomainReport]
    """By domain, of training tasks."""
    past: Mapping[str, Tally] = Field(default_factory=dict)
    """By kind of edit."""


class Edited(NamedTuple):
    """A changed pipeline and the kinds of the edits, in order."""

    pipeline: Pipeline
    kinds: tuple[str, ...]


def improved(improver: Improver, pipeline: Pipeline, brief: Brief, rng: random.Random) -> Edited:
    """The improver's child of a pipeline."""
    chances, report = _chances(improver, brief.past), brief.report
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


def _chances(improver: Improver, past: Mapping[str, Tally]) -> list[float]:
    """Weight of each kind, times its rate of gains so far (one of four assumed before) to the `recall`."""
    tallies = [past.get(kind, Tally(0, 0)) for kind in KINDS]
    rates = [(1 + tally.gains) / (4 + tally.tries) for tally in tallies]
    return [getattr(improver, kind) * rate**improver.recall for kind, rate in zip(KINDS, rates, strict=True)]


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


class Founding(Record):
    """Updater that gives a policy its first program."""

    light: ClassVar[bool] = True

    pipeline: Pipeline = Pipeline()
    improver: Improver = Improver()

    @property
    def fingerprint(self) -> str:
        """Hash of the program."""
        return digest(self)

    def update(self, work: Workbench, policy: Policy, batch: object) -> Updated:
        """The policy with the program."""
        return Updated(policy=_programmed(work.store, policy, self.pipeline, self.improver, ()))


class SelfEditing(Record):
    """Updater that has a policy's program edited by its own improver."""

    light: ClassVar[bool] = True

    evolving: bool
    """Whether the improver is edited too, by a change of one habit a child."""

    @property
    def fingerprint(self) -> str:
        """Hash of the settings."""
        return digest(self)

    def update(self, work: Workbench, policy: Policy, batch: Brief) -> Updated:
        """The child; its artifact's metadata names the edits."""
        pipeline, improver = program_of(work.store, policy)
        rng = random_for(work.seed, "edit")
        edited = improved(improver, pipeline, batch, rng)
        habits = self_edited(improver, rng) if self.evolving else improver
        return Updated(policy=_programmed(work.store, policy, edited.pipeline, habits, edited.kinds))


def program_of(store: ArtifactStore, policy: Policy) -> tuple[Pipeline, Improver]:
    """Both parts of a policy's program."""
    files = policy.parts[Kind.PROGRAM].files
    return parse_pipeline(store.get(files[TASK_FILE])), decode(Improver, store.get(files[IMPROVER_FILE]))


def with_program_of(policy: Policy, other: Policy, keep: str) -> Policy:
    """The policy with another's program, but for one file that stays its own."""
    own, others = policy.parts[Kind.PROGRAM], other.parts[Kind.PROGRAM]
    return policy.with_part(own.model_copy(update={"files": {**others.files, keep: own.files[keep]}}))


class Fate(NamedTuple):
    """What an editor says of a child that is not as it should be."""

    flag: Flag | None = None
    detail: str = ""


def fate_of(policy: Policy) -> Fate:
    """The flag and the reason that an editor left with a policy's program."""
    facts = policy.parts[Kind.PROGRAM].metadata
    return Fate(Flag(str(facts["flag"])), str(facts.get("detail", ""))) if "flag" in facts else Fate()


def kinds_of(policy: Policy) -> tuple[str, ...]:
    """The kinds of the edits that made a policy's program of its parent's."""
    kinds = policy.parts[Kind.PROGRAM].metadata.get("edits", ())
    return tuple(map(str, kinds)) if isinstance(kinds, list | tuple) else ()


def _programmed(
    store: ArtifactStore, policy: Policy, pipeline: Pipeline, improver: Improver, kinds: tuple[str, ...]
) -> Policy:
    files = {TASK_FILE: store.put(encode(pipeline)), IMPROVER_FILE: store.put(encode(improver))}
    metadata: dict[str, JsonValue] = {"edits": list(kinds)}
    return policy.with_part(
        Artifact(kind=Kind.PROGRAM, files=files, parents=(policy.version,), metadata=metadata)
    )
