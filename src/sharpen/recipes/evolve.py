"""EVOLVE: teach a model to refine its answers, and learn from the chains of refinements it then makes.

Paper: "Evolving LLMs' Self-Refinement Capability via Iterative Preference Optimization", arXiv 2502.05605. No
code. One policy answers, pi(y | x), and refines, pi(y | x, y'), which is the question again after answer y'.
Stage A, once, on given pairs (x, y_w, y_l):

    L_SFT = -log pi(y_w | x) - log pi(y_w | x, y_l)

Stage B, each round, with d = log pi / pi_ref and pi_ref the policy before the round:

    L_PT  = (1 - a) L_DPO + a L_ref,    L_DPO = -log sigma(b [d(y_w | x) - d(y_l | x)]),
    L_ref = (2 b [d(y_w | x, y_l) - d(y_l | x, y_l)] - 1)^2,

on pairs from fresh prompts: an answer, three refinements of it, the best of the four over the worst by a
reward, or the last over the first by the rule that asks nobody. At test the last of K refinements counts.

Changed: L_ref is derived, not read: it has its minimum where the printed objective has its maximum, scaled
to be 1 at pi_ref. Preferences come from the policy's own samples and from the verifier, and one in ten is
turned round. `before` refines K times too. Left out: a first round of stage B on given pairs, length control,
a reward model, the other ways to use refinements at test.

Expected: without stage A refining gains nothing; with it q_1 rises from a tenth to more than a half, and the
curve is flat after that. That stage B adds to stage A is not shown here (three seeds: 55 % with it, 57 %
without), nor that chains beat parallel samples (52 %). Ablation: `shown = "shuffled"` trains refinements of
answers to other questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from pydantic import Field

from sharpen.core.attempt import Attempt
from sharpen.core.policy import Policy, PromptForm
from sharpen.core.recipe import Need, Setting, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run, Scope
from sharpen.core.task import Channel, Task, TaskSet
from sharpen.curation.asked_again import Shown
from sharpen.curation.batch import Batch, batch_of
from sharpen.curation.pairs import Pairs, all_ordered, misjudged
from sharpen.curation.refinements import later_over_earlier, refining, under
from sharpen.curation.select import rewards_of, taken
from sharpen.judges.critics import Silent
from sharpen.learners.preference import Preference
from sharpen.learners.reference import Reference
from sharpen.learners.sft import SFT, Start
from sharpen.monitors.refinement import watch_refinement
from sharpen.search.refinement import Chain, Refining, refined, revised


class Collect(StrEnum):
    """What answers of a round's prompts are ranked."""

    CHAIN = "chain"
    """An answer and its refinements."""
    PARALLEL = "parallel"
    """As many independent answers."""


class Rank(StrEnum):
    """By what one answer is better than another."""

    REWARD = "reward"
    RULE = "rule"
    """The last refinement is better than the first answer."""


class Config(Record):
    """Settings of EVOLVE."""

    iterations: int = Field(default=2, ge=0)
    """Rounds of stage B (3)."""
    activate: bool = True
    """Whether stage A has its second term; else only answers are learnt."""
    a: float = Field(default=0.5, ge=0, lt=1)
    """Weight of L_ref (unknown)."""
    collect: Collect = Collect.CHAIN
    """What answers are ranked."""
    rank: Rank = Rank.REWARD
    """By what."""
    shown: Shown = Shown.OWN
    """Which answers are refined in training; `shuffled` is the ablation."""
    answers: int = Field(default=4, ge=2)
    """Answers per prompt (4)."""
    noise: float = Field(default=0.1, ge=0, le=0.5)
    """How often a preference is turned round."""
    prompts: int = Field(default=100, ge=1)
    """Prompts per round (5,000 to 10,000)."""
    sft_steps: int = Field(default=40, ge=1)
    """Optimizer steps of stage A."""
    steps: int = Field(default=20, ge=1)
    """Optimizer steps of a round of stage B, whatever is trained on."""
    beta: float = Field(default=0.1, gt=0)
    """b (unknown)."""
    lr: float = Field(default=5e-5, gt=0)
    """Learning rate of stage B (unknown)."""
    turns: int = Field(default=2, ge=0)
    """Refinements at test (K = 3)."""
    control: float | None = Field(default=None, gt=0)
    """Temperature of as many independent samples, drawn beside in evaluations; none draws none."""


def activation(pairs: Pairs, tasks: Sequence[Task], form: PromptForm, config: Config) -> Batch:
    """L_SFT: the better answers to the questions, and after the worse ones."""
    direct = [pair.better for pair in pairs.items]
    again = [pair.better for pair in refining(pairs, tasks, form, shown=config.shown).items]
    return batch_of([*direct, *again] if config.activate else direct)


def preferences(pairs: Pairs, tasks: Sequence[Task], form: PromptForm, config: Config) -> Pairs:
    """L_PT: pairs of answers, and the same as ones that refine; where a = 0 none of these."""
    again = refining(pairs, tasks, form, shown=config.shown).items if config.a else ()
    return Pairs(items=(*pairs.items, *again))


def ranked(it: Scope, attempts: Sequence[Attempt], tasks: Sequence[Task], config: Config) -> Pairs:
    """Better over worse answers, one pair of a prompt, but several for stage A; some are turned round."""
    rewards, most = rewards_of(it.judge(attempts, tasks)), config.answers if it.round == 1 else 1
    pairs = it.curate(all_ordered, attempts, rewards, per_task=most)
    return misjudged(pairs, it.random("noise"), config.noise)


def collected(it: Scope, policy: Policy, tasks: Sequence[Task], config: Config) -> Pairs:
    """The pairs of a round, both answers under the question as it was put at first."""
    if config.collect is Collect.PARALLEL:
        return ranked(it, it.attempt(policy, tasks, samples=config.answers), tasks, config)
    how = Refining(turns=config.answers - 1, until=(), temperature=1.0)
    chains = it.search(chained, policy, tasks, how)
    if config.rank is Rank.RULE:
        return it.curate(later_over_earlier, [chain.answers for chain in chains])
    answers = [under(chain.answers[0], answer) for chain in chains for answer in chain.answers]
    return ranked(it, answers, tasks, config)


def chained(scope: Scope, policy: Policy, tasks: Sequence[Task], how: Refining) -> tuple[Chain, ...]:
    """An answer to each task and refinements of it, without a word on them."""
    return refined(scope, policy, tasks, Silent(), how)


def learner(config: Config) -> Preference:
    """L_PT; with a = 0 there are no pairs that refine."""
    return Preference(
        steps=config.steps,
        lr=config.lr,
        beta=config.beta,
        refinement=config.a or 0.5,
        reference=Reference.PREVIOUS,
    )


PLACE = Setting(request={"task": "offhand?level=2", "model": "offhand", "max_tokens": 40})


@recipe(
    paper="arXiv 2502.05605",
    improves="weights",
    sees=Channel.LABEL,
    needs=(Need.TRAIN,),
    home=PLACE.on(train=200, val=32, test=200, control_samples=4).at(control=1.0),
    small=PLACE.on(train=8, val=2, test=4, control_samples=2, threads=1).at(
        iterations=1, prompts=4, sft_steps=2, steps=1, turns=1, answers=3
    ),
    demo=PLACE.on(train=60, val=2, test=40, control_samples=2, threads=1).at(
        iterations=1, prompts=16, sft_steps=16, steps=3, turns=1
    ),
    ablation={"shown": "shuffled"},
    claim="Refining is learnt: trained on pairs and on its own refinements, a policy gains by refining.",
    arms={
        "iterative DPO": {"activate": False, "a": 0.0, "collect": "parallel"},
        "a = 0": {"a": 0.0},
        "parallel samples": {"collect": "parallel"},
        "SFT alone": {"iterations": 0},
        "rule": {"rank": "rule"},
    },
)
def evolve(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Activate refinement, then rounds of chains, ranking and preference training."""
    how = Refining(turns=config.turns, until=(), control=config.control)
    kept = run.prepared(run.workflow(policy, revised, how))
    for it in run.iterations(1 + config.iterations):
        policy, form = kept.model_copy(update={"workflow": None}), kept.prompt
        if it.round == 1:
            answers = it.attempt(policy, tasks.train, samples=config.answers)
            pairs = ranked(it, answers, tasks.train, config)
            batch = it.curate(activation, pairs, tasks.train, form, config)
            policy = it.update(SFT(steps=config.sft_steps, start=Start.PREVIOUS), policy, batch)
        else:
            asked = taken(tasks.train, it.round - 1, config.prompts)
            pairs = it.curate(preferences, collected(it, policy, asked, config), asked, form, config)
            policy = it.update(learner(config), policy, pairs)
        it.measure(pairs=len(pairs))
        refining_one = run.workflow(policy, revised, how)
        watch_refinement(it, refining_one, tasks.val)
        kept = it.gate(refining_one, incumbent=kept, tasks=tasks.val)
    return kept
