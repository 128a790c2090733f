"""PIT: an improver that learns from preferences what better means, by a reward on the gap to a reference.

Paper: Wang et al., "Enable Language Models to Implicitly Learn Self-Improvement From Data", arXiv 2310.00898.
No code. A policy M_P answers and stays as it is. From its preference data (x, y_w, y_l), with y_ref shown:

    1. SFT    -log M(y_w | x, y_l)
    2. RM     g_wl > g_ww, g_wl > g_ll, g_ww > g_lw, g_ll > g_lw by Bradley-Terry, g_ij = R(x, y_i, y_j)
    3. RL     max E[R(x, y, y_ref)] - b KL(M || M_SFT),  y ~ M(. | x, y_ref),  y_ref in {y_w, y_l}
    4. RL     the same with y_ref ~ M_P(. | x)
    5. test   y_0 ~ M_P,  y_{k+1} ~ M(. | x, y_k),  k < K, with no rule for stopping

No rubric is ever written: what better means lies in the pairs.

Changed: the equations were not reachable in print: which four relations is from memory, and a fifth, g_wl >
g_lw, goes with them. M_P is the start policy, without RLHF of its own; its pairs are ranked by the verifier,
and one in ten is turned round. R starts from M_SFT and adds its log-likelihood, with a learnt weight, to two
layers, which so few pairs teach little else. RL is GRPO on groups. Left out: PPO, ELO, stages beyond the two.

Expected: improved answers beat first ones by far (three seeds: 10 to 54 %), at the first improvement, and
more than a vote or as many samples. That RL adds to SFT is not shown here (SFT alone: 54 %). Ablation:
`shown = "shuffled"` shows answers to other questions throughout training, so that there is no gap to learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from statistics import fmean

from pydantic import Field

from sharpen.core.attempt import Attempt, Provenance
from sharpen.core.policy import Policy
from sharpen.core.recipe import Need, Setting, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run, Scope
from sharpen.core.task import Channel, Task, TaskSet
from sharpen.curation.advantages import group_advantages
from sharpen.curation.asked_again import Shown, asked_again
from sharpen.curation.batch import Batch
from sharpen.curation.gaps import gaps, improvements, single
from sharpen.curation.groups import Rewards, advantaged
from sharpen.curation.pairs import Pairs, misjudged, top_and_bottom
from sharpen.curation.select import moved_to, rewards_of, taken
from sharpen.judges.critics import Silent
from sharpen.judges.reward import RewardJudge
from sharpen.learners.policy_gradient import PolicyGradient
from sharpen.learners.reward_model import RewardLearner
from sharpen.learners.sft import SFT, Start
from sharpen.monitors.refinement import watch_refinement
from sharpen.search.refinement import Refining, answers_of

IMPROVER, GAP = "improver", "gap"
"""Names of the policy's parts."""


class Reward(StrEnum):
    """What the improver is rewarded for."""

    GAP = "gap"
    """R(x, y, y_ref)."""
    DIFFERENCE = "difference"
    """R(x, y) - R(x, y_ref), with R learnt on single answers."""


class Config(Record):
    """Settings of PIT."""

    samples: int = Field(default=6, ge=2)
    """Answers of M_P per question, from which the preference data come."""
    noise: float = Field(default=0.1, ge=0, le=0.5)
    """How often a preference is turned round."""
    sft_steps: int = Field(default=30, ge=1)
    """Optimizer steps of SFT."""
    easy: int = Field(default=2, ge=0)
    """Rounds of RL from references in the data (unknown)."""
    real: int = Field(default=3, ge=0)
    """Rounds of RL from answers of M_P (unknown)."""
    prompts: int = Field(default=32, ge=1)
    """References per round."""
    group: int = Field(default=8, ge=2)
    """Improvements drawn of each."""
    lr: float = Field(default=1e-4, gt=0)
    """Learning rate of RL (unknown)."""
    b: float = Field(default=0.05, ge=0)
    """Weight of the KL to the SFT model (unknown)."""
    reward: Reward = Reward.GAP
    """What the improver is rewarded for."""
    shown: Shown = Shown.OWN
    """Which references are shown in training; `shuffled` is the ablation."""
    turns: int = Field(default=1, ge=0)
    """Improvements at test (K, up to 5)."""
    control: float | None = Field(default=None, gt=0)
    """Temperature of as many samples of M_P, drawn beside in evaluations; none draws none."""


def preferences(it: Scope, policy: Policy, tasks: Sequence[Task], config: Config) -> Pairs:
    """The data: of every question the best over the worst answer, some turned round."""
    attempts = it.attempt(policy, tasks, samples=config.samples)
    pairs = it.curate(top_and_bottom, attempts, rewards_of(it.judge(attempts, tasks)))
    return misjudged(pairs, it.random("noise"), config.noise)


def references(it: Scope, policy: Policy, pairs: Pairs, tasks: Sequence[Task], config: Config) -> list[Task]:
    """Questions after what is improved in a round: answers from the data first, then such of M_P."""
    if it.round <= 1 + config.easy:
        chosen = taken(pairs.items, it.round - 1, config.prompts // 2)
        answers = [pair.worse for pair in chosen] + [pair.better for pair in chosen]
    else:
        answers = list(it.attempt(policy, taken(tasks, it.round - 1, config.prompts)))
    by_key = {task.key: task for task in tasks}
    shown = config.shown.among(answers)
    return [asked_again(by_key[a.task], text) for a, text in zip(answers, shown, strict=True)]


def scored(
    it: Scope, improver: Policy, tries: Sequence[Attempt], asked: Sequence[Task], config: Config
) -> Rewards:
    """What the reward model says; within a group R(x, y) - R(x, y_ref) is R(x, y) but for a constant."""
    judge = RewardJudge.of(improver, GAP)
    if config.reward is Reward.GAP:
        return rewards_of(it.judge(tries, asked, verifier=judge))
    bare = {task.key: task.model_copy(update={"messages": task.messages[:-2]}) for task in asked}
    moved = [moved_to(a, bare[a.task], improver.prompt, Provenance.SPLICED) for a in tries]
    return rewards_of(it.judge(moved, list(bare.values()), verifier=judge))


def compared(tries: Sequence[Attempt], rewards: Rewards) -> Batch:
    """Steps 3 and 4: improvements weighted by their advantages among those of one reference."""
    return advantaged(tries, rewards, group_advantages)


def improver_of(policy: Policy) -> Policy:
    """The policy with the improver's weights for its own, once there are some; it answers in one go."""
    part, plain = policy.parts.get(IMPROVER), policy.model_copy(update={"workflow": None})
    return plain.with_part(part) if part else plain


def with_improver(policy: Policy, improver: Policy) -> Policy:
    """M_P with the improver's weights and its reward model as parts."""
    for name, part in ((IMPROVER, improver.weights), (GAP, improver.parts.get(GAP))):
        policy = policy.with_part(part, name) if part else policy
    return policy


def improved(scope: Scope, policy: Policy, tasks: Sequence[Task], config: Config) -> tuple[Attempt, ...]:
    """Step 5."""
    how = Refining(turns=config.turns, until=(), control=config.control)
    return answers_of(scope, policy, tasks, Silent(), how, reviser=improver_of(policy))


PLACE = Setting(request={"task": "offhand?level=2", "model": "offhand", "max_tokens": 40})


@recipe(
    paper="arXiv 2310.00898",
    improves="weights, reward_model",
    sees=Channel.LABEL,
    needs=(Need.LOGPROBS, Need.TRAIN),
    home=PLACE.on(train=200, val=32, test=200, control_samples=4).at(control=1.0),
    small=PLACE.on(train=8, val=2, test=4, control_samples=2, threads=1).at(
        samples=4, sft_steps=2, easy=1, real=1, prompts=2, group=2
    ),
    demo=PLACE.on(train=60, val=2, test=40, control_samples=2, threads=1).at(
        sft_steps=16, easy=1, real=1, prompts=8, group=4
    ),
    ablation={"shown": "shuffled"},
    claim="An improver that learnt a gap reward from preferences makes a policy's own answers better.",
    arms={
        "SFT alone": {"easy": 0, "real": 0},
        "no easy stage": {"easy": 0, "real": 5},
        "no real stage": {"easy": 5, "real": 0},
        "difference of scores": {"reward": "difference"},
        "first answers": {"turns": 0},
    },
)
def pit(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Preferences, from them an improver and a reward model, then RL in two stages."""
    kept, pairs, sft = policy, Pairs(items=()), policy.weights
    for it in run.iterations(1 + config.easy + config.real):
        improver = improver_of(kept)
        if it.round == 1:
            pairs = preferences(it, policy, tasks.train, config)
            batch = it.curate(improvements, pairs, tasks.train, policy.prompt, config.shown)
            improver = it.update(SFT(steps=config.sft_steps, start=Start.PREVIOUS), improver, batch)
            both = it.curate(gaps, pairs, tasks.train, policy.prompt, config.shown)
            ratings = both if config.reward is Reward.GAP else it.curate(single, pairs)
            learner = RewardLearner(name=GAP, likelihood=True)
            improver, sft = it.scope("gap").update(learner, improver, ratings), improver.weights
        elif GAP in improver.parts:
            asked = references(it, policy, pairs, tasks.train, config)
            tries = it.attempt(improver, asked, samples=config.group)
            rewards = scored(it, improver, tries, asked, config)
            teacher = PolicyGradient(epochs=1, lr=config.lr, kl=config.b, reference=sft)
            improver = it.update(teacher, improver, it.curate(compared, tries, rewards))
            it.measure(reward=fmean(reward for reward in rewards if reward is not None))
        candidate = run.workflow(with_improver(policy, improver), improved, config)
        watch_refinement(it, candidate, tasks.val)
        kept = it.gate(candidate, incumbent=kept, tasks=tasks.val)
    return kept
