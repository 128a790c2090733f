"""ExIt: learn single revisions of one's own answers, and revise many times when it counts.

Paper: Jiang et al., "Bootstrapping Task Spaces for Self-Improvement", arXiv 2509.04575. A buffer B holds
start states (task, answers so far) with learnability scores S. A slot of a round is, once B has B_min
entries, with probability p a start state drawn by exp(kappa S) / sum exp(kappa S), else a task as it is. G
one-step rollouts from it (an answer, or a revision of one of its answers) make a group of GRPO:

    S = Var(r_1 .. r_G),    A_i = d_i (r_i - mean r) / std r,    d_i = |e_i - mean e| / (max - min distance)

with e the embedding of a rollout. The start state gets S; start state plus new answer joins B with the same
S. At test the last of K revisions counts, greedy, with no rule for stopping.

Changed: no published code. To improve is to be asked again word for word; the words for diverging are taught
to every arm in a warm-up on the policy's own second answers, without labels; `before` revises K times too.
Only answers join B, one of a group (the paper leaves open which). Embeddings are hashed n-grams; kappa is
ours (unknown). Left out: the KL to pi_ref (0.001), tasks of several turns, error traces.

Expected: q_K rises far above that of GRPO and of the curriculum (0.37 against 0.09 and 0.10 at home, from
0.09); q_0 falls. More revisions than one add nothing, for `offhand` works its answer out after giving it,
and one look back mends it. Ablation: `starts = "shuffled"` deals the previous answers to other tasks. Not
yet measured: diverging and the bonus.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from enum import StrEnum
from statistics import fmean
from typing import NamedTuple

from pydantic import Field

from sharpen.core.attempt import Attempt
from sharpen.core.policy import Policy
from sharpen.core.recipe import Need, Setting, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run, Scope
from sharpen.core.task import Channel, Task, TaskSet
from sharpen.core.verdict import Verdict
from sharpen.curation.advantages import group_advantages
from sharpen.curation.asked_again import Wording, all_asked_again, asked_again, under_another_request
from sharpen.curation.batch import Batch
from sharpen.curation.groups import Groups, Rewards, advantaged, grouped
from sharpen.curation.learnability import return_variance
from sharpen.curation.select import rewards_of
from sharpen.curation.task_buffer import Entry, Start, TaskBuffer
from sharpen.learners.policy_gradient import PolicyGradient
from sharpen.learners.sft import SFT
from sharpen.monitors.diversity import diversity, relative_distances
from sharpen.search.refinement import Refining, revised


class Starts(StrEnum):
    """Which answers to the tasks that were tried join the buffer; without any it holds the tasks."""

    OWN = "own"
    NONE = "none"
    SHUFFLED = "shuffled"
    """Answers to other tasks. The ablation."""


class Config(Record):
    """Settings of ExIt."""

    iterations: int = Field(default=12, ge=1)
    """Rounds."""
    prompts: int = Field(default=32, ge=1)
    """Start states per round (128)."""
    group: int = Field(default=8, ge=2)
    """Rollouts from each (G)."""
    p: float = Field(default=0.75, ge=0, le=1)
    """Probability of a start state from the buffer (0.5); 0 is GRPO."""
    p_div: float = Field(default=0.2, ge=0, le=1)
    """Probability that a revision is asked to diverge."""
    kappa: float = Field(default=5.0, ge=0)
    """Sharpness of the draw from the buffer."""
    capacity: int = Field(default=256, ge=1)
    """Entries of the buffer (N = 512)."""
    b_min: int = Field(default=64, ge=1)
    """Entries from which on it is drawn from (B_min = 128)."""
    bonus: bool = True
    """Whether advantages are scaled by d_i."""
    starts: Starts = Starts.OWN
    """`shuffled` is the ablation."""
    revisions: int = Field(default=4, ge=0)
    """Revisions at test (K = 16)."""
    warm_steps: int = Field(default=20, ge=0)
    """Optimizer steps of the warm-up; 0 for a model that knows the words."""
    lr: float = Field(default=2e-4, gt=0)
    """Learning rate of GRPO (1e-6)."""


class Slot(NamedTuple):
    """A start state and the question it is put as."""

    start: Start
    task: Task


def revision(start: Start, rng: random.Random, config: Config) -> Slot:
    """A random prefix of the start state, put as the request to revise its last answer."""
    if not start.answers:
        return Slot(start, start.task)
    prefix = start.prefix(rng.randint(1, start.depth))
    wording = Wording.DIVERGE if rng.random() < config.p_div else Wording.NEUTRAL
    return Slot(prefix, asked_again(prefix.task, prefix.answers[-1], wording))


def selected(buffer: TaskBuffer, tasks: Sequence[Task], rng: random.Random, config: Config) -> list[Slot]:
    """The different start states of a round."""
    found: dict[str, Slot] = {}
    for task in rng.sample(tasks, min(len(tasks), 2 * config.prompts)):
        slot = Slot(Start(task=task), task)
        if len(buffer) >= config.b_min and rng.random() < config.p:
            slot = revision(buffer.drawn(rng, config.kappa).start, rng, config)
        found.setdefault(slot.task.key, slot)
    return list(found.values())[: config.prompts]


def written_back(
    buffer: TaskBuffer, slots: Sequence[Slot], attempts: Sequence[Attempt], rewards: Rewards, config: Config
) -> TaskBuffer:
    """The buffer with the scores of this round's start states, and with what grew out of them."""
    first = [attempt.response for attempt in attempts[:: config.group]]
    said = [*first[1:], first[0]] if config.starts is Starts.SHUFFLED else first
    for (start, _), answer, group in zip(slots, said, grouped(rewards, config.group), strict=True):
        grown = () if config.starts is Starts.NONE else (start.after(answer),)
        tried = (start,) if start.answers or not grown else ()
        score = return_variance(group)
        buffer = buffer.put(*(Entry(start=one, score=score) for one in (*tried, *grown)))
    return buffer


def weighted(attempts: Sequence[Attempt], verdicts: Sequence[Verdict], config: Config) -> Batch:
    """Rollouts weighted by d_i A_i."""
    batch = advantaged(attempts, rewards_of(verdicts), group_advantages)
    if not config.bonus:
        return batch
    texts = [attempt.response for attempt in attempts]
    far = [d for group in grouped(texts, config.group) for d in relative_distances(group)]
    pairs = zip(far, batch.items, strict=True)
    return Batch(items=tuple(i.model_copy(update={"weight": d * i.weight}) for d, i in pairs))


def warmed_up(scope: Scope, policy: Policy, tasks: Sequence[Task], config: Config) -> Policy:
    """The policy that takes the request to diverge as it takes the question put again."""
    first = scope.attempt(policy, tasks)
    second = scope.attempt(policy, all_asked_again(tasks, first))
    batch = scope.curate(under_another_request, tasks, first, second, Wording.DIVERGE, policy.prompt)
    return scope.update(SFT(steps=config.warm_steps, lr=1e-4), policy, batch)


PLACE = Setting(
    request={"task": "offhand?level=2", "model": "offhand", "max_tokens": 40, "control_samples": 2}
)


@recipe(
    paper="arXiv 2509.04575",
    improves="weights",
    sees=Channel.LABEL,
    needs=(Need.LOGPROBS, Need.TRAIN),
    home=PLACE.on(train=400, val=40, test=300),
    small=PLACE.on(train=12, val=2, test=4, threads=1).at(
        iterations=2, prompts=4, group=4, b_min=4, revisions=1, warm_steps=1
    ),
    demo=PLACE.on(train=300, val=2, test=40, threads=1).at(
        iterations=5, p=0.9, p_div=0.0, bonus=False, b_min=32, revisions=1, warm_steps=0
    ),
    ablation={"starts": "shuffled"},
    claim="Single revisions from one's own informative answers make repeated revision pay; GRPO does not.",
    arms={
        "GRPO": {"p": 0.0},
        "curriculum": {"starts": "none"},
        "improve": {"p_div": 0.0, "bonus": False},
        "diverge": {"bonus": False},
    },
)
def exit(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Select start states, roll out one step from each, learn, write back."""
    how, learner = Refining(turns=config.revisions, until=()), PolicyGradient(epochs=1, lr=config.lr, kl=0.0)
    if config.warm_steps:
        policy = warmed_up(run.preparation(), policy, tasks.train, config)
    kept = run.prepared(run.workflow(policy, revised, how))
    buffer, seen = TaskBuffer(capacity=config.capacity), set[str]()
    for it in run.iterations(config.iterations):
        slots = selected(buffer, tasks.train, it.random("selection"), config)
        asked = [slot.task for slot in slots]
        attempts = it.attempt(policy, asked, samples=config.group)
        groups = Groups(attempts, it.judge(attempts, asked))
        buffer = it.curate(written_back, buffer, slots, attempts, groups.rewards, config)
        policy = it.update(learner, policy, it.curate(weighted, *groups, config))
        seen |= {task.key for task in asked}
        depth = fmean(slot.start.depth for slot in slots)
        it.measure(depth=depth, starts=len(seen), buffer=len(buffer), score=buffer.mean)
        it.measure(**diversity([slot.start.answers[-1] for slot in slots if slot.start.answers]).numbers)
        kept = it.gate(run.workflow(policy, revised, how), incumbent=kept, tasks=tasks.val)
        policy = kept.model_copy(update={"workflow": None})
    return kept
