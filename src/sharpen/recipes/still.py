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

Expected: a null so far. Half of the pool is hard for `ponder` and half of that gets solved, but a round moved
test scores by -10 to +3 points (80 to 100 tasks, seed 1, intervals over zero); easy problems by +8.
Ablation: `labels = "shuffled"` deals each problem's verdicts anew, so that wrong solutions are admitted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

from pydantic import Field

from sharpen.core.attempt import Attempt
from sharpen.core.policy import Policy
from sharpen.core.recipe import Need, Setting, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run
from sharpen.core.task import Channel, Task, TaskSet
from sharpen.core.verdict import Verdict
from sharpen.curation.batch import Batch, batch_of
from sharpen.curation.groups import Groups, Labels, labelled
from sharpen.curation.lengths import usual_lengths
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
    DPO_THOUGHT = "dpo-thought"
    """DPO on what comes before the answer."""
    DPO_WHOLE = "dpo-whole"
    """DPO on all tokens."""


class Config(Record):
    """Settings of STILL-2."""

    seeds: int = Field(default=16, ge=1)
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
    beta: float = Field(default=0.1, gt=0)
    """How strongly DPO holds to M_1."""
    likelihood: float = Field(default=0.0, ge=0)
    """Weight of the likelihood of what is right, per token (lambda)."""
    labels: Labels = Labels.TRUE
    """`shuffled` is the ablation."""
    steps: int = Field(default=60, ge=1)
    """Optimizer steps of every training."""
    lr: float = Field(default=5e-4, gt=0)
    """Learning rate of SFT (1e-5)."""
    dpo_lr: float = Field(default=3e-5, gt=0)
    """Learning rate of DPO."""


def chosen(
    attempts: Sequence[Attempt], verdicts: Sequence[Verdict], usual: Mapping[str, float], select: Select
) -> Batch:
    """One right solution to every problem that has any; `usual` is the teacher's length by task."""
    by: dict[Select, Callable[[Attempt], float]] = {
        Select.LENGTH: lambda attempt: -abs(len(attempt.response) - usual[attempt.task]),
        Select.PERPLEXITY: lambda attempt: -confidence(attempt),
        Select.RANDOM: lambda _: 0.0,
    }
    right = [attempts[place] for place in right_places(verdicts) if clean(attempts[place])]
    return batch_of(best_by(right, by[select]))


def paired(attempts: Sequence[Attempt], verdicts: Sequence[Verdict]) -> Pairs:
    """Of every problem that has both, what is right at the highest and wrong at the lowest perplexity."""
    places = set(right_places(verdicts))
    right = best_by([a for i, a in enumerate(attempts) if i in places and clean(a)], lambda a: -confidence(a))
    wrong = {a.task: a for a in best_by([a for i, a in enumerate(attempts) if i not in places], confidence)}
    found = tuple(Pair(better=one, worse=wrong[one.task]) for one in right if one.task in wrong)
    return Pairs(items=found)


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


PLACE = Setting(request={"task": "countdown?level=2&style=long", "model": "ponder", "max_tokens": 160})


@recipe(
    paper="arXiv 2412.09413",
    improves="weights",
    sees=(Channel.LABEL, Channel.TEACHER),
    needs=(Need.LOGPROBS, Need.TRAIN),
    home=PLACE.on(train=360, val=32, test=300, control_samples=4),
    small=PLACE.on(train=8, val=2, test=4, control_samples=2, threads=1).at(
        seeds=4, rounds=1, K=2, steps=2, optimiser="dpo-thought"
    ),
    demo=PLACE.on(train=160, val=4, test=100, control_samples=2, threads=1).at(rounds=1),
    ablation={"labels": "shuffled"},
    claim="Long thoughts found by exploring hard problems add to a small distilled seed.",
    arms={
        "seed twice": {"explored": "none"},
        "easy problems": {"explored": "easy"},
        "picked at random": {"select": "random"},
        "picked by perplexity": {"select": "perplexity"},
        "DPO on thoughts": {"optimiser": "dpo-thought"},
        "DPO on all": {"optimiser": "dpo-whole"},
        "DPO with likelihood": {"optimiser": "dpo-thought", "likelihood": 0.2},
    },
)
def still(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Imitate, then by rounds explore what is unsolved and train anew on all there is."""
    c = config
    seeds, pool = tasks.train[: c.seeds], tasks.train[c.seeds :]
    base, usual, pairs = policy, usual_lengths(seeds, tasks.train), Pairs(items=())
    data = batch_of(demonstrations(seeds, policy.prompt, policy=policy.version))
    sft = SFT(steps=c.steps, lr=c.lr)
    first = policy = run.prepared(run.preparation().update(sft, base, data))
    dpo = Preference(
        steps=c.steps, lr=c.dpo_lr, beta=c.beta, likelihood=c.likelihood, reference=first.weights
    )
    waiting = to_explore(run, policy, pool, c.explored)
    for it in run.iterations(c.rounds):
        attempts = it.attempt(policy, waiting, samples=c.K, temperature=c.temperature)
        groups = labelled(Groups(attempts, it.judge(attempts, waiting)), c.labels)
        if c.optimiser is Optimiser.SFT:
            data = merged(data, it.curate(chosen, *groups, usual, c.select))
            candidate = it.update(sft, base, data)
        else:
            if c.optimiser is Optimiser.DPO_THOUGHT:
                groups = groups._replace(attempts=learnt_until(it, policy, attempts, ANSWER))
            pairs = Pairs(items=(*pairs.items, *it.curate(paired, *groups).items))
            candidate = it.update(dpo, first, pairs)
        solved = len(waiting)
        waiting = unsolved(waiting, *groups)
        it.measure(explored=solved, solved=solved - len(waiting))
        policy = it.gate(candidate, incumbent=policy, tasks=tasks.val)
    return policy
