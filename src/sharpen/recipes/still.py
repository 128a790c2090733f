"""STILL-2: imitate long thoughts, explore hard problems with them, train on what was found.

Paper: "Imitate, Explore, and Self-Improve: A Reproduction Report on Slow-thinking Reasoning Systems", arXiv
2412.09413. Code: RUCAIBox/Slow_Thinking_with_LLMs (models and data). D_0 is a seed of distilled solutions:

    M_0 = SFT(base, D_0)
    D_t = D_{t-1} + one of the right solutions, of up to K by M_{t-1}, of every problem that is still unsolved
    M_t = SFT(base, D_t)    or    DPO(M_1, right of high and wrong of low perplexity), on thoughts alone:

    -log sigmoid(beta (log p/ref (y+) - log p/ref (y-))) - lambda log p(y+).

Of a problem's right solutions the one is taken whose length is nearest to the teacher's on such problems,
or that of the highest perplexity. Solutions that were cut off or repeat themselves are dropped.

Changed: a program is the teacher, and writes the worked solutions of the first `seeds` problems; imitation is
preparation, so `before` is M_0 and what imitation gave is no gain. A problem is hard if M_0 fails it once.
Such problems are like those whose questions have as many words. Every training takes `steps` steps.
Left out: other domains, a model that writes solutions from thoughts.

Expected: TODO
Ablation: `labels = "none"` takes solutions whatever the verifier says of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from statistics import fmean

from pydantic import Field

from sharpen.core.attempt import Attempt
from sharpen.core.policy import Policy
from sharpen.core.recipe import Need, Setting, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run
from sharpen.core.task import Channel, Task, TaskSet
from sharpen.core.verdict import Scored, Verdict
from sharpen.curation.batch import Batch, Item
from sharpen.curation.select import clean, confidence, demonstrations, merged, right_places, unsolved
from sharpen.curation.spans import learnt_until
from sharpen.curation.voting import best_by
from sharpen.learners.preference import Pair, Pairs, Preference
from sharpen.learners.sft import SFT

ANSWER = "\n####"
"""Where the thought ends and the solution begins."""


class Explored(StrEnum):
    """Which problems are explored."""

    HARD = "hard"
    EASY = "easy"
    """Those that M_0 solves at once."""
    NONE = "none"
    """None: the seed stands twice in the data."""


class Select(StrEnum):
    """Which of a problem's right solutions is taken."""

    LENGTH = "length"
    """The one nearest in length to the teacher's on such problems."""
    PERPLEXITY = "perplexity"
    """The one of the highest perplexity."""
    RANDOM = "random"
    """The first one."""


class Optimiser(StrEnum):
    """How M_t is made."""

    SFT = "sft"
    DPO = "dpo"


class Aligned(StrEnum):
    """Which tokens DPO sees."""

    THOUGHT = "thought"
    WHOLE = "whole"


class Labels(StrEnum):
    """By what a solution counts as right."""

    VERIFIER = "verifier"
    NONE = "none"
    """The ablation: every solution does."""


class Config(Record):
    """Settings of STILL-2."""

    seeds: int = Field(default=60, ge=1)
    """Problems with a distilled solution (1,100)."""
    rounds: int = Field(default=2, ge=1)
    """Rounds of exploring."""
    K: int = Field(default=4, ge=1)
    """Solutions drawn per problem and round (20)."""
    temperature: float = Field(default=1.0, ge=0)
    """Sampling temperature."""
    explored: Explored = Explored.HARD
    """Which problems are explored."""
    select: Select = Select.LENGTH
    """Which of a problem's right solutions is taken."""
    optimiser: Optimiser = Optimiser.SFT
    """How M_t is made."""
    aligned: Aligned = Aligned.THOUGHT
    """Which tokens DPO sees."""
    beta: float = Field(default=0.1, gt=0)
    """How strongly DPO holds to M_1."""
    likelihood: float = Field(default=0.0, ge=0)
    """Weight of the likelihood of what is right, per token (lambda)."""
    labels: Labels = Labels.VERIFIER
    """`none` is the ablation."""
    steps: int = Field(default=30, ge=1)
    """Optimizer steps of every training."""
    lr: float | None = Field(default=None, gt=0)
    """Learning rate; none means the learner's default for the model's size."""
    dpo_lr: float = Field(default=3e-5, gt=0)
    """Learning rate of DPO."""


Lengths = Mapping[int, float]


def imitated(seeds: Sequence[Task], policy: Policy) -> Batch:
    """The worked solutions of the seed."""
    shown = demonstrations(seeds, policy.prompt, policy=policy.version)
    return Batch(items=tuple(Item(attempt=attempt) for attempt in shown))


def kind(task: Task) -> int:
    """Problems of as many words are alike."""
    return len(task.question.split())


def teacher_lengths(tasks: Sequence[Task]) -> Lengths:
    """Mean length in characters of the worked solutions, by kind of problem."""
    found: dict[int, list[int]] = defaultdict(list)
    for task in tasks:
        found[kind(task)].append(len(task.solution or ""))
    return {size: fmean(lengths) for size, lengths in found.items()}


def worth(config: Config, tasks: Sequence[Task], lengths: Lengths) -> Callable[[Attempt], float]:
    """What decides between a problem's right solutions."""
    usual = {task.key: lengths.get(kind(task), max(lengths.values())) for task in tasks}
    match config.select:
        case Select.LENGTH:
            return lambda attempt: -abs(len(attempt.response) - usual[attempt.task])
        case Select.PERPLEXITY:
            return lambda attempt: -confidence(attempt)
        case Select.RANDOM:
            return lambda attempt: 0.0


def chosen(
    attempts: Sequence[Attempt],
    verdicts: Sequence[Verdict],
    tasks: Sequence[Task],
    lengths: Lengths,
    c: Config,
) -> Batch:
    """One right solution to every problem that has any."""
    right = [attempts[place] for place in right_places(verdicts) if clean(attempts[place])]
    return Batch(items=tuple(Item(attempt=one) for one in best_by(right, worth(c, tasks, lengths))))


def paired(attempts: Sequence[Attempt], verdicts: Sequence[Verdict]) -> Pairs:
    """Of every problem that has both, what is right at the highest and wrong at the lowest perplexity."""
    places = set(right_places(verdicts))
    right = best_by([a for i, a in enumerate(attempts) if i in places and clean(a)], lambda a: -confidence(a))
    wrong = {a.task: a for a in best_by([a for i, a in enumerate(attempts) if i not in places], confidence)}
    found = tuple(Pair(better=one, worse=wrong[one.task]) for one in right if one.task in wrong)
    return Pairs(items=found)


def held(verdicts: Sequence[Verdict], labels: Labels) -> list[Verdict]:
    """What training holds of the solutions."""
    return list(verdicts) if labels is Labels.VERIFIER else [Scored(value=1.0)] * len(verdicts)


def to_explore(run: Run, policy: Policy, pool: Sequence[Task], explored: Explored) -> tuple[Task, ...]:
    """Problems that M_0 fails, or solves, at once."""
    hard = unsolved(pool, attempts := run.attempt(policy, pool), run.judge(attempts, pool))
    match explored:
        case Explored.HARD:
            return hard
        case Explored.EASY:
            return tuple(task for task in pool if task not in hard)
        case Explored.NONE:
            return ()


PLACE = Setting(
    request={
        "task": "countdown?level=2&upto=4&style=long",
        "model": "ponder",
        "max_tokens": 160,
        "test_temperature": 1.0,
    }
)


@recipe(
    paper="arXiv 2412.09413",
    improves="weights",
    sees=(Channel.LABEL, Channel.TEACHER),
    needs=(Need.LOGPROBS, Need.TRAIN),
    home=PLACE.on(train=360, val=32, test=300, control_samples=4),
    small=PLACE.on(train=8, val=2, test=4, control_samples=2, threads=1).at(
        seeds=4, rounds=1, K=2, steps=2, optimiser="dpo"
    ),
    demo=PLACE.on(train=160, val=4, test=100, control_samples=2, threads=1).at(rounds=1),
    ablation={"labels": "none"},
    claim="Long thoughts found by exploring hard problems add to a small distilled seed.",
    arms={
        "seed twice": {"explored": "none"},
        "easy problems": {"explored": "easy"},
        "picked at random": {"select": "random"},
        "picked by perplexity": {"select": "perplexity"},
        "DPO on thoughts": {"optimiser": "dpo"},
        "DPO on all": {"optimiser": "dpo", "aligned": "whole"},
        "DPO with likelihood": {"optimiser": "dpo", "likelihood": 0.2},
    },
)
def still(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Imitate, then by rounds explore what is unsolved and train anew on all there is."""
    seeds, pool = tasks.train[: config.seeds], tasks.train[config.seeds :]
    base, lengths = policy, teacher_lengths(seeds)
    data, pairs = imitated(seeds, policy), Pairs(items=())
    sft = SFT(steps=config.steps, lr=config.lr)
    first = policy = run.prepared(run.preparation().update(sft, base, data))
    dpo = Preference(
        steps=config.steps,
        lr=config.dpo_lr,
        beta=config.beta,
        likelihood=config.likelihood,
        reference=first.weights,
    )
    waiting = to_explore(run, policy, pool, config.explored)
    for it in run.iterations(config.rounds):
        attempts = it.attempt(policy, waiting, samples=config.K, temperature=config.temperature)
        verdicts = held(it.judge(attempts, waiting), config.labels)
        if config.optimiser is Optimiser.SFT:
            data = merged(data, it.curate(chosen, attempts, verdicts, waiting, lengths, config))
            candidate = it.update(sft, base, data)
        else:
            aligned = (
                attempts if config.aligned is Aligned.WHOLE else learnt_until(it, policy, attempts, ANSWER)
            )
            pairs = Pairs(items=(*pairs.items, *it.curate(paired, aligned, verdicts).items))
            candidate = it.update(dpo, first, pairs)
        solved = len(waiting)
        waiting = unsolved(waiting, attempts, verdicts)
        it.measure(explored=solved, solved=solved - len(waiting))
        policy = it.gate(candidate, incumbent=policy, tasks=tasks.val)
    return policy
