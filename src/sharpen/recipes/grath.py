"""GRATH: a model made more truthful by its own word on what is right and what is wrong.

Paper: Chen, Song, Li, "GRATH: Gradual Self-Truthifying for Large Language Models", arXiv 2401.12292. Code:
chenweixin107/GRATH. No label is looked at: the policy is asked for a right answer c and a wrong one w to
every question q in one reply, and learns by DPO to prefer c to w under the bare question,

    -log sigma(beta [log pi(c|q) / ref(c|q) - log pi(w|q) / ref(w|q)]).

A gradual round asks again and replaces the right answers; the wrong ones stay those of the first round.

Changed: whole weights and 60 steps a pass, not adapters and 1000: with longer passes the pairs are learnt by
heart. No demonstrations: `gossip` knows the request. Questions are about attributes of set A, tests about set
B. Measures judge the right answers by label; only the arm `labels` learns so. Left out: other skills.

Expected: plain answers get truer without a label, here from 0.32 to 0.50 (two seeds, +0.18 and +0.21), with
MC1 and MC2 on val; beyond set B as well (seed 1, unseen questions on set A, 20 steps a pass: 0.25 to 0.47).
Of one seed: swapped roles fall to 0.07 (at a rate of 1e-3), labels give no more than the policy's own word,
of which 98 % is right. So later passes have nothing to refresh: two passes give what one pass of as many
steps gives, with or without refreshing. SFT on the right answers does as well as DPO (0.55), which wastes
itself on making wrong ones unlikely: the paper's order of the two is not seen here.
Ablation: `roles = "random"` prefers either answer by chance; the gain is gone.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from enum import StrEnum
from statistics import fmean

from pydantic import Field

from sharpen.core.policy import Policy, PromptForm
from sharpen.core.recipe import Need, Setting, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run, Scope
from sharpen.core.task import Task, TaskSet
from sharpen.core.verdict import Verdict, value_of
from sharpen.curation.batch import batch_of
from sharpen.curation.both_answers import (
    AllTold,
    Marks,
    Told,
    asked_for_both,
    given,
    preferring_right,
    refreshed,
    told,
)
from sharpen.curation.pairs import Pairs, flipped
from sharpen.judges.likelihood import LikelihoodJudge
from sharpen.learners.preference import Preference
from sharpen.learners.reference import Reference
from sharpen.learners.sft import SFT, Start
from sharpen.monitors.truth import truth


class Learn(StrEnum):
    """What is learnt from pairs."""

    DPO = "dpo"
    SFT = "sft"
    """The right answers alone."""


class Refresh(StrEnum):
    """Which answers later rounds replace."""

    RIGHT = "right"
    BOTH = "both"
    NONE = "none"


class Roles(StrEnum):
    """Which answer of a pair is preferred."""

    OWN = "own"
    """The one that the policy calls right."""
    RANDOM = "random"
    """Either, by chance. The ablation."""
    SWAPPED = "swapped"
    """The one that the policy calls wrong."""
    LABELS = "labels"
    """The tasks' own answers take the place of the right ones: the upper bound."""


class Config(Record):
    """Settings of GRATH."""

    iterations: int = Field(default=2, ge=1)
    """Passes; the first is self-truthifying, later ones are gradual (2; 10 with a fixed reference)."""
    beta: float = Field(default=0.1, gt=0)
    """How strongly the policy is held to the reference."""
    steps: int = Field(default=60, ge=1)
    """Optimizer steps per pass (1000)."""
    mini_batch: int = Field(default=16, ge=1)
    """Pairs per step."""
    lr: float = Field(default=3e-4, gt=0)
    """Learning rate (5e-4, of adapters)."""
    reference: Reference = Reference.PREVIOUS
    """The policy before the pass, or `base`."""
    refresh: Refresh = Refresh.RIGHT
    """Which answers later rounds replace."""
    roles: Roles = Roles.OWN
    """`random` is the ablation."""
    learn: Learn = Learn.DPO
    """`sft` learns the right answers alone."""
    marks: Marks = Marks()
    """How both answers are asked for."""


def renewed(it: Scope, policy: Policy, tasks: Sequence[Task], old: AllTold | None, config: Config) -> AllTold:
    """What the policy calls right, by a greedy reply to each question, over what it first called wrong."""
    if old is not None and config.refresh is Refresh.NONE:
        return old
    asked = [asked_for_both(task, config.marks) for task in tasks]
    new = it.curate(told, tasks, it.attempt(policy, asked, temperature=0.0), config.marks)
    return new if old is None or config.refresh is Refresh.BOTH else it.curate(refreshed, old, new)


def preferences(tasks: Sequence[Task], answers: AllTold, form: PromptForm, roles: Roles, seed: int) -> Pairs:
    """Right answers over wrong ones, or what the ablations make of them."""
    if roles is Roles.LABELS:
        truths = AllTold(items=tuple(Told(task=t.key, right=t.answer, wrong="") for t in tasks))
        answers = refreshed(answers, truths)
    pairs, rng = preferring_right(tasks, answers, form), random.Random(seed)
    match roles:
        case Roles.SWAPPED:
            return flipped(pairs)
        case Roles.RANDOM:
            both_ways = zip(pairs.items, flipped(pairs).items, strict=True)
            return Pairs(items=tuple(map(rng.choice, both_ways)))
        case _:
            return pairs


def standing(it: Scope, policy: Policy, tasks: TaskSet, answers: AllTold, pairs: Pairs) -> dict[str, float]:
    """Beliefs on val, the share of answers called right that are right, and what became of them."""
    better, worse = ([getattr(pair, name) for pair in pairs.items] for name in ("better", "worse"))
    by_key = {task.key: task for task in tasks.train}
    said = [given(by_key[one.task], policy.prompt, one.right) for one in answers.items]
    likely = LikelihoodJudge(policy)
    high, low = (mean_value(it.judge(some, tasks.train, verifier=likely)) for some in (better, worse))
    right = mean_value(it.judge(said, tasks.train))
    return {**truth(it, policy, tasks.val), "right": right, "better": high, "worse": low}


def mean_value(verdicts: Sequence[Verdict]) -> float:
    """Mean of the known values; 0 without any."""
    known = [value for value in map(value_of, verdicts) if value is not None]
    return fmean(known) if known else 0.0


PLACE = Setting(
    request={
        "task": "encyclopedia?others=216",
        "model": "gossip",
        "max_tokens": 16,
        "control_samples": 2,
    }
)


@recipe(
    paper="arXiv 2401.12292",
    improves="weights",
    sees=(),
    needs=(Need.LOGPROBS, Need.TRAIN),
    home=PLACE.on(train=360, val=56, test=160),
    small=PLACE.on(train=24, val=4, test=8, threads=1).at(steps=2),
    demo=PLACE.on(train=200, val=16, test=160, threads=1).at(steps=40),
    ablation={"roles": "random"},
    claim="DPO on pairs that a model itself calls right and wrong makes its plain answers true.",
    arms={
        "SFT": {"learn": "sft"},
        "one pass": {"iterations": 1, "steps": 120},
        "wrong ones refreshed": {"refresh": "both"},
        "not refreshed": {"refresh": "none"},
        "fixed reference": {"reference": "base"},
        "swapped": {"roles": "swapped"},
        "labels": {"roles": "labels"},
    },
)
def grath(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Ask for both answers, learn to prefer the right ones, ask again."""
    steps, size, lr = config.steps, config.mini_batch, config.lr
    dpo = Preference(steps=steps, batch_size=size, lr=lr, beta=config.beta, reference=config.reference)
    sft = SFT(steps=steps, batch_size=size, lr=lr, start=Start.PREVIOUS)
    answers: AllTold | None = None
    for it in run.iterations(config.iterations):
        answers = renewed(it, policy, tasks.train, answers, config)
        seed = it.random("roles").getrandbits(62)
        pairs = it.curate(preferences, tasks.train, answers, policy.prompt, config.roles, seed)
        if config.learn is Learn.DPO:
            candidate = it.update(dpo, policy, pairs)
        else:
            candidate = it.update(sft, policy, batch_of([pair.better for pair in pairs.items]))
        it.measure(pairs=len(pairs), **standing(it, candidate, tasks, answers, pairs))
        policy = it.gate(candidate, incumbent=policy, tasks=tasks.val)
    return policy
