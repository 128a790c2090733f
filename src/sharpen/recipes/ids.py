"""ID-sampling: a model is made to look back at its own answer, at budgets that grow geometrically.

Paper: "Iterative Deepening Sampling for Large Language Models" (v2: "... as Efficient Test-Time Scaling"),
arXiv 2502.05449. No published code. Nothing is trained: each time an answer y reaches the next limit of its
length, a trigger s is spliced in, and the model goes on after it,

    limit_k = b0 gamma^k   (total)   |   b0 (gamma^(k+1) - 1) / (gamma - 1)   (segment),   up to B_max.

The best of several such answers is chosen by majority or by likelihood.

Changed: both readings of "budget" are here, since the listing could not be read. Limits count drawn tokens,
what is spent the trigger's as well. Before a trigger the answer is cut back to a boundary. What ends before
a limit is left as it is. Every way has the same tokens per question and draws whole answers while they
last: so `before` is plain sampling with majority at this price. `use = "train"` is our reading of the paper's
motive: right answers, first of all those that were wrong before a trigger, are trained on with the trigger.
Left out: reward models, restarts, triggers placed by a step scorer.

Expected: on a model that can look back, one trigger at 24 tokens beats plain samples at the same price by 10
points and more. A trigger keeps nearly every right answer; several in one answer confuse this model, so small
b0, `on_eos = "trigger"` and fixed intervals do worse than one trigger at the end.
Ablation: `trigger = "\\nnote:"`, a filler of the same length, which the model knows to mean nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import accumulate, count, takewhile

from pydantic import Field

from sharpen.core.attempt import Attempt
from sharpen.core.policy import Policy
from sharpen.core.recipe import Need, Setting, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run, Scope
from sharpen.core.task import Channel, Task, TaskSet
from sharpen.core.verdict import Verdict
from sharpen.curation.batch import Batch, batch_of
from sharpen.curation.own_words import learnt_from
from sharpen.curation.select import confidence, right_places
from sharpen.curation.voting import best_by, voted
from sharpen.learners.sft import SFT
from sharpen.search.interruption import Interruption, Told, effect, for_tokens, interrupted, price


class Schedule(StrEnum):
    """Where triggers stand."""

    TOTAL = "geometric-total"
    """At b0, gamma b0, gamma^2 b0, ... tokens."""
    SEGMENT = "geometric-segment"
    """After segments of b0, gamma b0, gamma^2 b0, ... tokens."""
    FIXED = "fixed"
    """After every b0 tokens."""
    AT_END = "at-end"
    """One, after the whole answer."""
    NEVER = "never"
    """Plain sampling."""


class OnEnd(StrEnum):
    """What happens to an answer that ends before the next limit."""

    TRIGGER = "trigger"
    """It gets the trigger in place of its end."""
    STOP = "stop"
    """It is left as it is."""


class Aggregate(StrEnum):
    """Which of a question's answers counts."""

    MAJORITY = "majority"
    LIKELIHOOD = "likelihood"
    """The one of the highest log-probability per token."""


class Use(StrEnum):
    """What the answers are for."""

    INFERENCE = "inference"
    TRAIN = "train"


class Config(Record):
    """Settings of ID-sampling."""

    schedule: Schedule = Schedule.TOTAL
    """Where triggers stand."""
    b0: int = Field(default=24, ge=1)
    """Tokens before the first trigger."""
    gamma: float | None = Field(default=2.0, gt=1)
    """Growth of the budget; none stands for infinity and is plain sampling."""
    B_max: int = Field(default=160, ge=1)
    """Most tokens of an answer."""
    trigger: str = Field(default="\ncheck:", min_length=1)
    """What is spliced in; a filler is the ablation."""
    boundary: str = "\n"
    """An unfinished answer is cut back to the last of these before a trigger; empty cuts nothing."""
    on_eos: OnEnd = OnEnd.STOP
    """What happens to an answer that ends before the next limit."""
    temperature: float = Field(default=0.7, ge=0)
    """Sampling temperature (unknown)."""
    tokens: int = Field(default=60, ge=1)
    """Tokens per question, for as many answers as they pay for (in place of N); one at least."""
    aggregate: Aggregate = Aggregate.MAJORITY
    """Which of a question's answers counts."""
    use: Use = Use.INFERENCE
    """What the answers are for."""
    samples: int = Field(default=2, ge=1)
    """Answers per question to train on."""
    epochs: int = Field(default=2, ge=1)
    """Passes over them."""
    lr: float | None = Field(default=None, gt=0)
    """Learning rate; none means the learner's default for the model's size."""


def limits(config: Config) -> tuple[int, ...]:
    """Drawn tokens at which triggers stand, and in the end the most there may be."""
    b0, gamma, most = config.b0, config.gamma, config.B_max
    if config.schedule is Schedule.NEVER or gamma is None:
        return (most,)
    if config.schedule is Schedule.AT_END:
        return most, 2 * most
    if config.schedule is Schedule.TOTAL:
        budgets: Iterable[float] = (b0 * gamma**k for k in count())
    else:
        budgets = accumulate(b0 * (gamma**k if config.schedule is Schedule.SEGMENT else 1) for k in count())
    return (*map(int, takewhile(lambda limit: limit < most, budgets)), most)


def interruption(config: Config) -> Interruption:
    """The schedule as shared parts want it."""
    always = config.schedule is Schedule.AT_END or config.use is Use.TRAIN
    after_end = always or config.on_eos is OnEnd.TRIGGER
    return Interruption(config.trigger, limits(config), config.boundary, after_end, config.temperature)


def answer(scope: Scope, policy: Policy, tasks: Sequence[Task], config: Config) -> list[Attempt]:
    """As many answers to each task as its tokens pay for; the elected or the likeliest one counts."""
    groups = for_tokens(scope, policy, tasks, interruption(config), config.tokens).values()
    attempts = [one.attempt for group in groups for one in group]
    if config.aggregate is Aggregate.MAJORITY:
        chosen = voted(attempts, scope.answers(attempts))
    else:
        chosen = best_by(attempts, confidence)
    return [a.model_copy(update={"outcome": price(group)}) for a, group in zip(chosen, groups, strict=True)]


def lessons(told: Sequence[Told], first: Sequence[Verdict], last: Sequence[Verdict]) -> Batch:
    """Right answers: those that were mended, from where they were, and as many that stayed right."""
    before, after = set(right_places(first)), right_places(last)
    mended = [learnt_from(told[i].attempt, len(told[i].first.turns)) for i in after if i not in before]
    stayed = [learnt_from(told[i].attempt, 1) for i in after if i in before]
    return batch_of([*mended, *stayed[: len(mended)]])


PLACE = Setting(
    request={"task": "countdown?level=2", "model": "ponder", "max_tokens": 160, "test_temperature": 1.0}
)


@recipe(
    paper="arXiv 2502.05449",
    improves="answers",
    sees=Channel.LABEL,
    needs=(Need.LOGPROBS,),
    home=PLACE.on(train=8, val=48, test=300, control_samples=2),
    small=PLACE.on(train=4, val=2, test=4, control_samples=2, threads=1).at(use="train", samples=1, epochs=1),
    demo=PLACE.on(train=4, val=4, test=130, control_samples=2, threads=1),
    ablation={"trigger": "\nnote:"},
    claim="Triggers at geometrically growing budgets beat plain samples of as many tokens.",
    arms={
        "plain": {"schedule": "never"},
        "segment": {"schedule": "geometric-segment"},
        "fixed": {"schedule": "fixed"},
        "fixed, dense": {"schedule": "fixed", "b0": 12},
        "at end": {"schedule": "at-end"},
        "triggers at ends": {"on_eos": "trigger"},
        "likelihood": {"aggregate": "likelihood"},
        "trained on": {"use": "train"},
    },
)
def ids(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Sample with triggers, or train on such samples and sample without."""
    plain = config.model_copy(update={"schedule": Schedule.NEVER})
    start = run.prepared(run.workflow(policy, answer, plain))
    how = interruption(config)
    (it,) = run.iterations(1)
    if config.use is Use.INFERENCE:
        final = run.workflow(policy, answer, config)
    else:
        told = [t for _ in range(config.samples) for t in interrupted(it, policy, tasks.train, how)]
        marks = [it.judge([getattr(one, name) for one in told], tasks.train) for name in ("first", "attempt")]
        learner = SFT(epochs=config.epochs, lr=config.lr)
        final = run.workflow(it.update(learner, policy, it.curate(lessons, told, *marks)), answer, plain)
    if found := effect(it, policy, tasks.val, how):
        it.measure(**found.numbers)
    return it.gate(final, incumbent=start, tasks=tasks.val)
