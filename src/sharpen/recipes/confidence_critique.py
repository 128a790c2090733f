"""CCT: learn to keep right answers and to mend wrong ones when asked again.

Paper: "Confidence v.s. Critique: A Decomposition of Self-Correction Capability for LLMs", arXiv 2412.19513.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from enum import StrEnum
from itertools import cycle, islice

from pydantic import Field

from sharpen.core.attempt import Attempt
from sharpen.core.policy import Decoding, Policy
from sharpen.core.recipe import recipe
from sharpen.core.records import Record
from sharpen.core.run import Run, Scope, Scores
from sharpen.core.task import Channel, Task, TaskSet
from sharpen.core.verdict import Verdict, value_of
from sharpen.curation.asked_again import Wording, all_asked_again, answered
from sharpen.curation.batch import Batch, Item
from sharpen.learners.sft import SFT, Start
from sharpen.monitors.correction import from_samples
from sharpen.tasks.settings import HOME, SMALL


class Train(StrEnum):
    """What is trained on."""

    CCT = "cct"
    """Confidence and critique items."""
    CLT = "clt"
    """Confidence items alone."""
    CST = "cst"
    """Critique items alone."""
    SFT = "sft"
    """Right first answers, as without a second turn."""
    SFT_CCT = "sft+cct"
    """Both."""


class Answer(StrEnum):
    """Which answer counts in the end."""

    FIRST = "first"
    SECOND = "second"


class Shown(StrEnum):
    """Which first answer stands in the dialogues that are trained on."""

    OWN = "own"
    RANDOM = "random"
    """One to another question, whatever it is worth: nothing can be learnt from it."""


class Labels(StrEnum):
    """By what an answer counts as right in training."""

    VERIFIER = "verifier"
    SHUFFLED = "shuffled"
    """The ablation: the verdict on another attempt."""


class Config(Record):
    """Settings of CCT."""

    iterations: int = Field(default=2, ge=1)
    """Rounds; 1 is the paper."""
    samples: int = Field(default=2, ge=1)
    """First answers per task and round."""
    temperature: float = Field(default=1.0, ge=0)
    """Sampling temperature of both answers in training."""
    rho: float = Field(default=0.4, ge=0, le=1)
    """Share of confidence items."""
    train: Train = Train.CCT
    """What is trained on."""
    wording: Wording = Wording.NEUTRAL
    """How the question is put again."""
    answer: Answer = Answer.SECOND
    """Which answer counts in the end."""
    shown: Shown = Shown.OWN
    """Which first answer stands in the dialogues that are trained on."""
    labels: Labels = Labels.VERIFIER
    """`shuffled` is the ablation."""
    format_steps: int = Field(default=60, ge=0)
    """Optimizer steps of the preparation, for models that know no dialogues."""
    steps: int = Field(default=40, ge=1)
    """Optimizer steps per round."""
    lr: float | None = Field(default=None, gt=0)
    """Learning rate; none means the learner's default for the model's size."""


class Pair(Record):
    """A first answer and the second one, with what is known of both."""

    first: Attempt
    second: Attempt
    right: bool
    """Whether the first one is."""
    mended: bool
    """Whether the second one is."""


def pairs_of(
    first: Sequence[Attempt], marks: Sequence[Verdict], second: Sequence[Attempt], after: Sequence[Verdict]
) -> list[Pair]:
    """Known pairs."""
    return [
        Pair(first=a, second=b, right=one > 0.5, mended=two > 0.5)
        for a, m, b, n in zip(first, marks, second, after, strict=True)
        if (one := value_of(m)) is not None and (two := value_of(n)) is not None
    ]


def mixed(confident: list[Attempt], critical: list[Attempt], rho: float) -> list[Attempt]:
    """As many of both as the share rho of the first kind allows."""
    size = min(len(kind) / share for kind, share in ((confident, rho), (critical, 1 - rho)) if share)
    return confident[: round(size * rho)] + critical[: round(size * (1 - rho))]


def keep_and_mend(
    first: Sequence[Attempt],
    marks: Sequence[Verdict],
    second: Sequence[Attempt],
    after: Sequence[Verdict],
    config: Config,
) -> Batch:
    """The items of a round."""
    pairs = pairs_of(first, marks, second, after)
    right: dict[str, list[Attempt]] = defaultdict(list)
    for pair in pairs:
        right[pair.first.task] += [pair.first] * pair.right + [pair.second] * pair.mended
    confident = [answered(pair.second, pair.first) for pair in pairs if pair.right]
    answers = {task: cycle(found) for task, found in right.items() if found}
    critical = [
        answered(pair.second, next(answers[pair.first.task]))
        for pair in pairs
        if not pair.right and pair.first.task in answers
    ]
    plain = [pair.first for pair in pairs if pair.right]
    cct = mixed(confident, critical, config.rho)
    chosen = {
        Train.CCT: cct,
        Train.CLT: confident,
        Train.CST: critical,
        Train.SFT: plain,
        Train.SFT_CCT: cct + plain,
    }
    return Batch(items=tuple(Item(attempt=attempt) for attempt in chosen[config.train]))


def rotated(attempts: Sequence[Attempt], config: Config) -> list[Attempt]:
    """The attempts shown in training: their own, or the words of one at another task."""
    if config.shown is Shown.OWN:
        return list(attempts)
    others = islice(cycle(attempts), config.samples, None)
    return [answered(a, other) for a, other in zip(attempts, others, strict=False)]


def shuffled(scope: Scope, verdicts: Sequence[Verdict], config: Config) -> Sequence[Verdict]:
    if config.labels is Labels.VERIFIER:
        return verdicts
    return scope.random("labels").sample(list(verdicts), len(verdicts))


def prepared(scope: Scope, policy: Policy, tasks: Sequence[Task], config: Config) -> Policy:
    """A policy that knows the form of dialogues: own answers, unjudged, to a question that is put twice."""
    samples = scope.attempt(policy, tasks, samples=2, temperature=config.temperature)
    first, second = samples[::2], samples[1::2]
    again = all_asked_again(tasks, first, config.wording)
    shown = scope.attempt(policy, again, decoding=Decoding(max_tokens=1))
    dialogues = [answered(prompt, words) for prompt, words in zip(shown, second, strict=True)]
    batch = Batch(items=tuple(Item(attempt=attempt) for attempt in (*first, *dialogues)))
    return scope.update(SFT(steps=config.format_steps), policy, batch)


def answer_twice(scope: Scope, policy: Policy, tasks: Sequence[Task], config: Config) -> tuple[Attempt, ...]:
    """Answer, be asked again, answer; the second answer counts."""
    first = scope.attempt(policy, tasks, temperature=0.0)
    again = all_asked_again(tasks, first, config.wording)
    second = scope.attempt(policy, again, temperature=0.0)
    before, after = scope.judge(first, tasks), scope.judge(second, again)
    found = []
    for attempt, one, two in zip(second, map(value_of, before), map(value_of, after), strict=True):
        facts = {} if one is None or two is None else {"Acc1": one, "CL" if one > 0.5 else "CS": two}
        found.append(attempt.model_copy(update={"outcome": facts}))
    return tuple(found)


def standing(scores: Scores) -> dict[str, float]:
    first = [attempt.outcome.get("Acc1") for attempt in scores.attempts]
    found = from_samples([a.task for a in scores.attempts], first, scores.values)
    return found.numbers if found else {}


@recipe(
    paper="arXiv 2412.19513",
    improves="weights",
    sees=Channel.LABEL,
    home=HOME,
    small=SMALL.at(iterations=2, samples=4, steps=4, format_steps=4),
    ablation={"labels": "shuffled"},
    claim="x",
    arms={"plain SFT": {"train": "sft", "answer": "first"}},
)
def confidence_critique(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Rounds."""
    if config.format_steps:
        policy = run.prepared(prepared(run.preparation(), policy, tasks.train, config))
    learner = SFT(steps=config.steps, lr=config.lr, start=Start.PREVIOUS)
    incumbent = policy
    for it in run.iterations(config.iterations):
        policy = incumbent.model_copy(update={"workflow": None})
        first = it.attempt(policy, tasks.train, samples=config.samples, temperature=config.temperature)
        marks = shuffled(it, it.judge(first, tasks.train), config)
        again = all_asked_again(tasks.train, rotated(first, config), config.wording)
        second = it.attempt(policy, again, temperature=config.temperature)
        after = it.judge(second, again)
        batch = it.curate(keep_and_mend, first, marks, second, after, config)
        candidate = it.update(learner, policy, batch)
        twice = run.workflow(candidate, answer_twice, config)
        it.measure(
            **standing(it.evaluate(twice, tasks.val, name="val")), items=len(batch),
            **{f"{k} before": v for k, v in standing(it.evaluate(run.workflow(policy, answer_twice, config), tasks.val, name="val")).items()}
        )
        incumbent = it.gate(twice if config.answer is Answer.SECOND else candidate, incumbent=incumbent, tasks=tasks.val)
    return incumbent
