"""SOAR: a teacher is paid by what forks of the student measurably learn from its questions.

Paper: Sundaram et al., "Teaching Models to Teach Themselves: Reasoning at the Edge of Learnability", arXiv
2601.18778. Hard problems D are those that the student never solves. Each outer step the teacher pi_phi writes
g sets X_k of n questions with answers, right or not, and never sees D; forks of the student are trained on
them, measured on Q_R from D, and rolled back:

    R_k = mean_j Acc(fork_kj, Q_R) - Acc(student, Q_R),    A_k = R_k - mean_{l != k} R_l        (RLOO)

A_k counts for every question of X_k. Where the mean R of three steps exceeds tau the best set's median fork
becomes the student, and its set joins D_best.

Changed: the teacher is a categorical policy over kinds of questions (family and level), not a language model:
generators write questions and worked answers, a share `error` of them wrong. Forks learn the worked answers
by SFT, as short RLOO moves nothing that 64 greedy answers could show (`inner = "rloo"` is the paper's). The
result is a fresh student on questions of the final teacher (Grounded-T); D_best and the promoted student are
settings. There is no published code. Left out: the partial reward tiers, KL, language-model judges.

Expected: the share of questions that help grows and a fresh student solves part of what it never solved;
without a teacher, or with an untrained one, it solves next to nothing. The model `offhand` answers before it
works anything out; of the kinds on offer few show it the other way. Ablation: `reward = "permuted"` deals
the R_k to the wrong sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import partial
from statistics import fmean

from pydantic import Field

from sharpen.core.attempt import Attempt
from sharpen.core.policy import Policy
from sharpen.core.recipe import Need, Setting, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run, Scope
from sharpen.core.task import Channel, Task, TaskSet
from sharpen.core.verdict import Verdict
from sharpen.curation.advantages import leave_one_out
from sharpen.curation.batch import Batch
from sharpen.curation.groups import advantaged, grouped
from sharpen.curation.learnability import rare_success
from sharpen.curation.lessons import Lessons, lessons, questions
from sharpen.curation.select import rewards_of, taken, unsolved
from sharpen.learners.choices import PART, ChoiceGradient, Choices, DrawnSet, DrawnSets, read_choices
from sharpen.learners.losses import Level
from sharpen.learners.policy_gradient import PolicyGradient
from sharpen.learners.sft import SFT, Start
from sharpen.monitors.diversity import diversity
from sharpen.search.forks import forked

WINDOW = 3
"""Steps whose mean R decides on a promotion."""


class Reward(StrEnum):
    """What the teacher is paid for."""

    GROUNDED = "grounded"
    """The gain of the forks."""
    INTRINSIC = "intrinsic"
    """Learnability: 1 - the student's success rate on a question, 0 where it never succeeds."""
    PERMUTED = "permuted"
    """The gain on another set. The ablation."""
    NONE = "none"
    """Nothing: an untrained teacher."""


class Use(StrEnum):
    """What the result is."""

    TEACHER = "teacher"
    """A fresh student on questions of the final teacher (Grounded-T)."""
    QUESTIONS = "questions"
    """A fresh student on the sets of the promotions (SOAR-PQ)."""
    PROMOTED = "promoted"
    """The promoted student (SOAR-PS)."""
    HARD = "hard"
    """A fresh student by RLOO on hard problems: no teacher."""


class Inner(StrEnum):
    """How forks learn."""

    SFT = "sft"
    RLOO = "rloo"


class Config(Record):
    """Settings of SOAR."""

    iterations: int = Field(default=8, ge=1)
    """Outer steps (T = 200)."""
    g: int = Field(default=4, ge=2)
    """Sets of questions per outer step."""
    n: int = Field(default=16, ge=1)
    """Questions per set (64)."""
    r: int = Field(default=1, ge=1)
    """Forks per set (4)."""
    questions: int = Field(default=24, ge=1)
    """Hard problems that a fork is measured on (64)."""
    tau: float = 0.01
    """What the mean of three steps' mean R must exceed for a promotion; 1 forbids them."""
    kinds: tuple[str, ...] = (
        *("chain?level=2", "product?level=1", "remainder?level=1", "counting?level=1"),
        *("offhand?level=1", "offhand?level=2"),
    )
    """Kinds of questions that the teacher chooses from."""
    error: float = Field(default=0.1, ge=0, le=1)
    """Share of wrong answers among the teacher's."""
    teacher_lr: float = Field(default=150.0, gt=0)
    """Length of the teacher's steps."""
    reward: Reward = Reward.GROUNDED
    """`permuted` is the ablation."""
    use: Use = Use.TEACHER
    """What the result is."""
    inner: Inner = Inner.SFT
    """How forks and fresh students learn."""
    steps: int = Field(default=8, ge=1)
    """Optimizer steps of a fork (10), and of a fresh student."""
    group: int = Field(default=8, ge=2)
    """Samples per question where students are sampled (32)."""
    batch_size: int = Field(default=8, ge=1)
    """Questions per step of SFT, samples per step of RLOO."""
    lr: float = Field(default=1e-3, gt=0)
    """Learning rate of SFT; RLOO takes a twentieth."""


def chosen(run: Run, teacher: Policy, config: Config) -> Choices:
    """The teacher's distribution over kinds."""
    part = teacher.parts.get(PART)
    return read_choices(run.contents(part) if part else None, config.kinds)


def rloo(attempts: Sequence[Attempt], verdicts: Sequence[Verdict]) -> Batch:
    """Answers weighted by their advantages over the others of their group."""
    return advantaged(attempts, rewards_of(verdicts), leave_one_out)


def reinforced(scope: Scope, student: Policy, tasks: Sequence[Task], config: Config) -> Policy:
    """The student after its steps of RLOO."""
    size = config.batch_size * config.group
    learner = PolicyGradient(epochs=1, batch_size=size, lr=config.lr / 20, kl=0.0, level=Level.SEQUENCE)
    for step in scope.iterations(config.steps):
        asked = taken(tasks, step.round, config.batch_size)
        attempts = step.attempt(student, asked, samples=config.group)
        student = step.update(learner, student, step.curate(rloo, attempts, step.judge(attempts, asked)))
    return student


def learnt(scope: Scope, student: Policy, tasks: Sequence[Task], config: Config) -> Policy:
    """The student after its short training on questions with answers."""
    if config.inner is Inner.RLOO:
        return reinforced(scope, student, tasks, config)
    learner = SFT(steps=config.steps, batch_size=config.batch_size, lr=config.lr, start=Start.PREVIOUS)
    return scope.update(learner, student, scope.curate(lessons, tasks, student.prompt))


def accuracy(tasks: Sequence[Task], scope: Scope, student: Policy) -> float:
    """Share of problems that the student solves greedily."""
    values = rewards_of(scope.judge(scope.attempt(student, tasks, temperature=0.0), tasks))
    return fmean(value or 0.0 for value in values)


def unsolvable(scope: Scope, student: Policy, tasks: Sequence[Task], config: Config) -> tuple[Task, ...]:
    """D: the problems that no sample solves; all of them if every one is solved."""
    attempts = scope.attempt(student, tasks, samples=config.group)
    return unsolved(tasks, attempts, scope.judge(attempts, tasks)) or tuple(tasks)


def paid(it: Scope, student: Policy, sets: Sequence[Lessons], gains: list[float], c: Config) -> list[float]:
    """What the teacher gets for each set."""
    if c.reward is Reward.PERMUTED:
        return it.random("permuted").sample(gains, len(gains))
    if c.reward is not Reward.INTRINSIC:
        return gains
    rewards = []
    for one in sets:
        attempts = it.attempt(student, one.tasks, samples=c.group)
        groups = grouped(rewards_of(it.judge(attempts, one.tasks)), c.group)
        rewards.append(fmean(map(rare_success, groups)))
    return rewards


def credited(sets: Sequence[Lessons], rewards: Sequence[float]) -> DrawnSets:
    """Kinds of questions with A_k."""
    advantages = leave_one_out(["set"] * len(rewards), rewards)
    pairs = zip(sets, advantages, strict=True)
    return DrawnSets(sets=tuple(DrawnSet(choices=one.kinds, advantage=a) for one, a in pairs))


PLACE = Setting(request={"task": "offhand?level=2", "model": "offhand", "max_tokens": 48})


@recipe(
    paper="arXiv 2601.18778",
    improves="weights",
    sees=(Channel.LABEL, Channel.TEACHER),
    needs=(Need.LOGPROBS, Need.TRAIN),
    home=PLACE.on(train=200, val=40, test=300, control_samples=2),
    small=PLACE.on(train=6, val=2, test=4, control_samples=2, threads=1).at(
        iterations=2, g=2, n=4, questions=4, steps=1, group=2, batch_size=4
    ),
    demo=PLACE.on(train=30, val=2, test=40, control_samples=2, threads=1).at(iterations=4, questions=16),
    ablation={"reward": "permuted"},
    claim="A teacher paid by its students' measured gains finds the questions that unlock hard problems.",
    arms={
        "hard only": {"use": "hard"},
        "untrained teacher": {"reward": "none"},
        "learnability reward": {"reward": "intrinsic"},
        "no promotion": {"tau": 1.0},
        "promotion questions": {"use": "questions"},
        "promoted student": {"use": "promoted"},
    },
)
def soar(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Write sets, fork students on them, pay the teacher, promote; at last teach a fresh student."""
    hard = unsolvable(run.scope("hard"), policy, tasks.train, config)
    teacher, student, best, means = policy, policy, list[Task](), list[float]()
    for it in run.iterations(config.iterations):
        sets = [
            questions(chosen(run, teacher, config), it.random("teacher", k), config.n, config.error)
            for k in range(config.g)
        ]
        asked = it.random("reward").sample(hard, min(config.questions, len(hard)))
        found = forked(
            it,
            student,
            [one.tasks for one in sets],
            repeats=config.r,
            train=partial(learnt, config=config),
            measure=partial(accuracy, asked),
        )
        gains = [forks.gain for forks in found]
        means.append(fmean(gains))
        if config.reward is not Reward.NONE:
            rewards = paid(it, student, sets, gains, config)
            learner = ChoiceGradient(names=config.kinds, lr=config.teacher_lr)
            teacher = it.update(learner, teacher, it.curate(credited, sets, rewards))
        if fmean(means[-WINDOW:]) > config.tau:
            top = max(range(config.g), key=gains.__getitem__)
            student, best = found[top].median.policy, [*best, *sets[top].tasks]
        kinds = chosen(run, teacher, config)
        written = [task.question for one in sets for task in one.tasks]
        it.measure(R=means[-1], best=max(gains), promoted=len(best) / config.n, kinds=kinds.entropy)
        it.measure(**diversity(written).numbers, **{k: round(p, 3) for k, p in kinds.probabilities.items()})
    final = questions(chosen(run, teacher, config), run.random("final"), config.n * config.g, config.error)
    taught: dict[Use, Sequence[Task]] = {Use.TEACHER: final.tasks, Use.QUESTIONS: best or final.tasks}
    if config.use is Use.HARD:
        fresh = reinforced(run.scope("fresh"), policy, hard, config)
    elif config.use is Use.PROMOTED:
        fresh = student
    else:
        fresh = learnt(run.scope("fresh"), policy, taught[config.use], config)
    return run.gate(fresh, incumbent=policy, tasks=tasks.val)
