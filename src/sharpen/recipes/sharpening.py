"""Sharpening: a model as its own verifier, with no reward from outside.

Paper: Huang et al., "Self-Improvement in Language Models: The Sharpening Mechanism", arXiv 2412.01951.
A model may tell good answers better than it draws them. Its self-reward is one of

    r(y) = log pi_base(y)    |    log pi_base(y) / |y|    |    how many of N samples have y's answer

SFT-sharpening fine-tunes on argmax_j r(y_j) of N samples a question from pi_base. Adaptively (for
log pi_base) a question is sampled until 1 / max_{j <= k} pi_base(y_j) <= k / mu, mu = ln(2 / delta).
RLHF-sharpening maximises E r - beta KL(pi || pi_base), offline, on pairs from pi_base:

    (beta log pi/pi_base (y) - beta log pi/pi_base (y') - (r(y) - r(y')))^2

Changed: the paper trains on the questions that it tests, here the test questions are new. Left out: online
exploration (XPO), which the paper treats in theory only. There is no published code.

Expected: samples at temperature 1 get better, to or past greedy decoding of the base; greedy decoding gains
less. Training on any sample changes little. Ablation: `reward = "flipped"` takes the least likely one.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from math import exp, log
from statistics import mean

from pydantic import Field

from sharpen.core.attempt import Attempt, Author
from sharpen.core.policy import Policy
from sharpen.core.recipe import Need, Setting, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run, Scope
from sharpen.core.task import Task, TaskSet
from sharpen.core.verdict import value_of
from sharpen.curation.batch import Batch, Item
from sharpen.curation.pairs import Pair, Pairs
from sharpen.curation.voting import best_of, shares
from sharpen.learners.preference import Preference
from sharpen.learners.preference_losses import Shape
from sharpen.learners.sft import SFT
from sharpen.tasks.settings import GROUPS, SMALL, WORDS

PLACE = Setting(request={**GROUPS.request, "train": 400}, config={"lr": 5e-5})


class SelfReward(StrEnum):
    """What an answer is worth to its own writer."""

    LIKELIHOOD = "likelihood"
    """Log-probability of the whole answer."""
    NORMALISED = "normalised"
    """Log-probability per token."""
    MAJORITY = "majority"
    """Share of the samples that agree."""
    NONE = "none"
    """Nothing: the first sample is taken."""
    FLIPPED = "flipped"
    """Minus the log-probability. The ablation."""


class Form(StrEnum):
    """What is trained."""

    SFT = "sft"
    """Likelihood of the best sample."""
    RLHF = "rlhf"
    """Differences of reward over pairs of samples."""


class Config(Record):
    """Settings of sharpening."""

    samples: int = Field(default=8, ge=2)
    """Answers per question (N = 50); the most, where sampling is adaptive."""
    reward: SelfReward = SelfReward.LIKELIHOOD
    """The self-reward."""
    form: Form = Form.SFT
    """SFT- or RLHF-sharpening."""
    delta: float | None = Field(default=None, gt=0, lt=2)
    """Sample adaptively with mu = ln(2 / delta); none samples N answers to each question."""
    beta: float = Field(default=0.1, gt=0)
    """Weight of the KL in RLHF-sharpening."""
    epochs: int = Field(default=6, ge=1)
    """Passes over the chosen answers (30)."""
    lr: float | None = Field(default=None, gt=0)
    """Learning rate; none means the learner's default for the model's size."""


def loglikelihood(attempt: Attempt) -> float:
    """log pi_base(y), of an attempt that pi_base drew at temperature 1."""
    return sum(sum(t.logprobs or ()) for t in attempt.turns if t.author is Author.POLICY)


def self_rewards(
    attempts: Sequence[Attempt], answers: Sequence[str | None], reward: SelfReward
) -> tuple[float, ...]:
    """r(y) of every attempt."""
    match reward:
        case SelfReward.LIKELIHOOD:
            return tuple(map(loglikelihood, attempts))
        case SelfReward.NORMALISED:
            return tuple(loglikelihood(a) / max(1, a.token_count) for a in attempts)
        case SelfReward.MAJORITY:
            return shares(attempts, answers)
        case SelfReward.NONE:
            return (0.0,) * len(attempts)
        case SelfReward.FLIPPED:
            return tuple(-loglikelihood(attempt) for attempt in attempts)


def sampled(it: Scope, policy: Policy, tasks: Sequence[Task], config: Config) -> tuple[Attempt, ...]:
    """N answers to each question, or fewer where one is likely enough already."""
    if config.delta is None:
        return it.attempt(policy, tasks, samples=config.samples)
    mu, waiting, found = log(2 / config.delta), tasks, list[Attempt]()
    for count in range(1, config.samples + 1):
        found += it.attempt(policy, waiting)
        best = {a.task: max(exp(loglikelihood(b)) for b in found if b.task == a.task) for a in found}
        waiting = tuple(task for task in waiting if best[task.key] * count < mu)
    return tuple(found)


def chosen(attempts: Sequence[Attempt], rewards: Sequence[float]) -> Batch:
    """argmax r of every question."""
    return Batch(items=tuple(Item(attempt=attempt) for attempt in best_of(attempts, rewards)))


def paired(attempts: Sequence[Attempt], rewards: Sequence[float]) -> Pairs:
    """Neighbouring answers to one question that differ in reward, the better one first."""
    known = list(zip(attempts, rewards, strict=True))
    pairs = [(a, b) for a, b in zip(known[::2], known[1::2], strict=False) if a[0].task == b[0].task]
    ordered = [(a, b) if a[1] >= b[1] else (b, a) for a, b in pairs if a[1] != b[1]]
    return Pairs(items=tuple(Pair(better=a, worse=b, margin=r - s) for (a, r), (b, s) in ordered))


@recipe(
    paper="arXiv 2412.01951",
    improves="weights",
    sees=(),
    needs=(Need.LOGPROBS, Need.TRAIN),
    acts=WORDS,
    home=PLACE,
    small=SMALL.at(samples=3, epochs=1, form="rlhf"),
    demo=PLACE.on(train=300, val=16, test=300).at(samples=6),
    ablation={"reward": "flipped"},
    claim="Fine-tuning on one's own likeliest answers makes one's samples better, without any label.",
    arms={
        "any sample": {"reward": "none"},
        "normalised": {"reward": "normalised"},
        "majority": {"reward": "majority"},
        "adaptive": {"delta": 0.5},
        "rlhf": {"form": "rlhf"},
    },
)
def sharpening(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Sample from the base, let it judge, amortise."""
    (it,) = run.iterations(1)
    attempts = sampled(it, policy, tasks.train, config)
    rewards = self_rewards(attempts, it.answers(attempts), config.reward)
    if config.form is Form.SFT:
        learner = SFT(epochs=config.epochs, lr=config.lr)
        candidate = it.update(learner, policy, it.curate(chosen, attempts, rewards))
    else:
        pairs = it.curate(paired, attempts, rewards)
        regression = Preference(epochs=config.epochs, lr=config.lr, beta=config.beta, shape=Shape.SQUARED)
        candidate = it.update(regression, policy, pairs)
    drawn = it.attempt(candidate, tasks.val, samples=4)
    values = [value_of(verdict) for verdict in it.judge(drawn, tasks.val)]
    it.measure(
        samples=len(attempts) / len(tasks.train),
        sampled_accuracy=mean(value for value in values if value is not None),
    )
    return it.gate(candidate, incumbent=policy, tasks=tasks.val)
