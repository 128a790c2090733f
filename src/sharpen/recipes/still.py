"""STILL-2: imitate long thoughts, explore hard problems with them, train anew on what was found.

Paper: "Imitate, Explore, and Self-Improve: A Reproduction Report on Slow-thinking Reasoning Systems", arXiv
2412.09413. Code: RUCAIBox/Slow_Thinking_with_LLMs (models and data). D_0 is a seed of distilled solutions:

    M_0 = SFT(base, D_0)
    D_t = D_{t-1} + one of the right solutions, of up to K by M_{t-1}, of every problem that is still unsolved
    M_t = SFT(base, D_t)    or    DPO(M_0, right of high and wrong of low perplexity), on thoughts alone:

    -log sigmoid(beta (log p/ref (y+) - log p/ref (y-))) - lambda log p(y+).

Of a problem's right solutions the one is taken whose length is nearest to the teacher's, or that of the
highest perplexity. Solutions that were cut off or repeat themselves are dropped.
Here the base is `offhand`, which says the answer before it works it out; in the teacher's solutions (the
family's own) thinking comes first. Changed: imitation is preparation, so `before` is M_0 and what imitation
gave is no gain. A problem is hard if M_0 fails it once. Every training takes `steps` steps. Left out:
lengths by class of problem, a model that writes solutions from thoughts.

Expected: base far below M_0, far below M_1, which comes near training on all of the pool distilled (0, 22, 55
and 72 percent in a first look). A null where thinking was no new habit: with `ponder` on countdown a round
moved scores by -10 to +8 points in six settings.
Ablation: `exchanged` trains on every kept solution as if it were the next problem's.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from statistics import fmean

from pydantic import Field

from sharpen.core.attempt import Attempt
from sharpen.core.policy import Policy
from sharpen.core.recipe import Need, Setting, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run
from sharpen.core.task import Channel, TaskSet
from sharpen.core.verdict import Verdict
from sharpen.curation.asked_again import answered
from sharpen.curation.batch import Batch, batch_of
from sharpen.curation.groups import Groups
from sharpen.curation.own_words import learnt_until
from sharpen.curation.pairs import Pairs, top_and_bottom
from sharpen.curation.select import clean, confidence, demonstrations, merged, right_places, unsolved
from sharpen.curation.voting import best_by
from sharpen.learners.preference import Preference
from sharpen.learners.reference import Reference
from sharpen.learners.sft import SFT
from sharpen.tasks.settings import SMALL

ANSWER = "\n####"
"""Where the thought ends and the solution begins."""
DPO_LR = 3e-5


class Added(StrEnum):
    """What is added to the seed."""

    HARD = "hard"
    """Own solutions of problems that M_0 fails."""
    EASY = "easy"
    """Own solutions of problems that M_0 solves at once."""
    TAUGHT = "taught"
    """The teacher's solutions of all problems."""
    NOTHING = "nothing"


class Config(Record):
    """Settings of STILL-2."""

    seeds: int = Field(default=4, ge=1)
    """Problems with a distilled solution (1,100)."""
    rounds: int = Field(default=2, ge=1)
    """Rounds of exploring."""
    K: int = Field(default=4, ge=1)
    """Solutions drawn per problem and round (20)."""
    added: Added = Added.HARD
    """What is added to the seed."""
    surprising: bool = False
    """Take the right solution of the highest perplexity, not the one as long as the teacher's."""
    exchanged: bool = False
    """The ablation."""
    dpo: bool = False
    """Make M_t by DPO instead of SFT."""
    likelihood: float = Field(default=0.0, ge=0)
    """Weight of the likelihood of what is right in DPO (lambda)."""
    steps: int = Field(default=40, ge=1)
    """Optimizer steps of every training."""
    lr: float | None = Field(default=None, gt=0)
    """Learning rate of SFT (1e-5); none means the learner's default for the model's size."""


def chosen(attempts: Sequence[Attempt], verdicts: Sequence[Verdict], usual: float, config: Config) -> Batch:
    """One right solution to every problem that has any; `usual` is the teacher's mean length."""

    def worth(attempt: Attempt) -> float:
        return -confidence(attempt) if config.surprising else -abs(len(attempt.response) - usual)

    right = [attempts[place] for place in right_places(verdicts) if clean(attempts[place])]
    kept = best_by(right, worth)
    words = (*kept[1:], *kept[:1]) if config.exchanged else kept
    return batch_of(map(answered, kept, words))


def paired(attempts: Sequence[Attempt], rewards: Sequence[float | None]) -> Pairs:
    """Of every problem that has both, what is right at the highest and wrong at the lowest perplexity."""
    known = [r if clean(a) else None for a, r in zip(attempts, rewards, strict=True)]
    ranks = [None if r is None else 4 * r - confidence(a) for a, r in zip(attempts, known, strict=True)]
    return top_and_bottom(attempts, ranks, least=2.0)


PLACE = Setting(request={"task": "chain?level=3", "model": "offhand"})


@recipe(
    paper="arXiv 2412.09413",
    improves="weights",
    sees=(Channel.LABEL, Channel.TEACHER),
    needs=(Need.LOGPROBS, Need.TRAIN),
    home=PLACE.on(train=164, val=32, test=300, control_samples=4),
    small=SMALL.on(task="chain?level=4").at(rounds=1, steps=2, dpo=True),
    demo=PLACE.on(train=84, val=2, test=80, control_samples=2, threads=1).at(rounds=1, K=2),
    ablation={"exchanged": True},
    claim="Long thoughts found by exploring hard problems add to a small distilled seed.",
    arms={
        "nothing added": {"added": "nothing"},
        "easy problems": {"added": "easy"},
        "highest perplexity": {"surprising": True},
        "DPO": {"dpo": True},
        "DPO with likelihood": {"dpo": True, "likelihood": 0.2},
        "all distilled": {"added": "taught"},
    },
)
def still(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Imitate, then by rounds explore what is unsolved and train anew on all there is."""
    c, base, pairs = config, policy, Pairs(items=())
    taught = batch_of(demonstrations(tasks.train, base.prompt, policy=base.version))
    data = Batch(items=taught.items[: c.seeds])
    usual = fmean(len(task.solution or "") for task in tasks.train[: c.seeds])
    sft = SFT(steps=c.steps, lr=c.lr)
    first = policy = run.prepared(run.preparation().update(sft, base, data))
    dpo = Preference(steps=c.steps, lr=DPO_LR, likelihood=c.likelihood, reference=Reference.PREVIOUS)
    pool, data = tasks.train[c.seeds :], taught if c.added is Added.TAUGHT else data
    hard = unsolved(pool, attempts := run.attempt(first, pool), run.judge(attempts, pool))
    waiting = {Added.HARD: hard, Added.EASY: tuple(t for t in pool if t not in hard)}.get(c.added, ())
    for it in run.iterations(c.rounds):
        attempts = it.attempt(policy, waiting, samples=c.K)
        groups, number = Groups(attempts, it.judge(attempts, waiting)), len(waiting)
        waiting = unsolved(waiting, *groups)
        it.measure(explored=number, solved=number - len(waiting))
        if c.dpo:
            thoughts = learnt_until(it, policy, attempts, ANSWER)
            pairs = Pairs(items=(*pairs.items, *it.curate(paired, thoughts, groups.rewards).items))
            candidate = it.update(dpo, first, pairs)
        else:
            data = merged(data, it.curate(chosen, *groups, usual, c))
            candidate = it.update(sft, base, data)
        policy = it.gate(candidate, incumbent=policy, tasks=tasks.val)
    return policy
