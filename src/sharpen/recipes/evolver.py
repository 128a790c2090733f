"""EvolveR: a policy trained by reinforcement while it can consult what it learnt from its own episodes.

Paper: "EvolveR: Self-Evolving LLM Agents through an Experience-Driven Lifecycle", arXiv 2510.16079. Each
round, online: G episodes a question, in which asking the library is an action; then GRPO (with KL) on

    R = (EM + 0.1 F) / 1.1,    A_i = (R_i - mean R) / (std R + 1e-6).

Offline, with the weights frozen: credit what was consulted, s = (succ + 1) / (use + 2); distil a quarter of
each group, half of it successes, into principles; merge those that say the same; prune s < 0.3.

As in the code: F = (think + search) / 2; retrieval goes by similarity, pruning by score. Changed: the
distiller, the policy itself, does not see the gold answer, and a principle that holds a training answer is
refused; principles are one line without triplets; hidden rules stand for open questions. Left out:
terms of weight 0. The model `seeker` knows no rules: it had its cold start on made-up ones.

Expected: exact match on new questions of the same families rises far above training without a library, and
falls without it. Ablation: `memory = "permuted"` shows each principle as another.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from itertools import combinations
from statistics import mean

from pydantic import Field, JsonValue

from sharpen.core.attempt import Attempt
from sharpen.core.policy import Policy
from sharpen.core.recipe import Need, Setting, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run, Scope
from sharpen.core.task import SINGLE_TURN, Channel, TaskSet
from sharpen.core.verdict import Verdict, value_of
from sharpen.curation.advantages import group_advantages
from sharpen.curation.batch import Batch
from sharpen.curation.groups import advantaged
from sharpen.curation.select import balanced, taken
from sharpen.learners.cold_start import cold_started
from sharpen.learners.policy_gradient import PolicyGradient
from sharpen.stores import distil
from sharpen.stores import memory as store
from sharpen.stores.memory import Draft, Inserted, Memory

THOUGHTS = {1: 0.2, 2: 0.3, 3: 0.4, 4: 0.6, 5: 0.8, 6: 1.0}
TOP = 3
Tries = Sequence[distil.Tried]
WORLD: dict[str, JsonValue] = {"task": "rules?families=16", "model": "seeker", "max_tokens": 32}


class Library(StrEnum):
    """What asking one's experience gives."""

    LEARNED = "learned"
    """Principles that the policy wrote."""
    TAUGHT = "taught"
    """Principles by a template, the teacher."""
    RAW = "raw"
    """Logs of attempts."""
    NONE = "none"
    """Nothing: GRPO with the same tools, the arm to beat."""
    REMOVED = "removed"
    """As learned, and taken away at test."""
    PERMUTED = "permuted"
    """The ablation."""


class Weights(StrEnum):
    """Whether the policy is trained."""

    GRPO = "grpo"
    FROZEN = "frozen"


class Config(Record):
    """Settings of EvolveR."""

    iterations: int = Field(default=6, ge=1)
    """Rounds (1000 in the paper)."""
    prompts: int = Field(default=64, ge=1)
    """Questions per round (128)."""
    group: int = Field(default=8, ge=2)
    """Episodes per question (G)."""
    lr: float | None = Field(default=None, gt=0)
    """Learning rate; none means the learner's default for the model's size."""
    mini_batch: int = Field(default=64, ge=1)
    """Episodes per optimizer step (128)."""
    beta: float = Field(default=0.001, ge=0)
    """Weight of the KL to the start policy."""
    choice_ratio: float = Field(default=0.25, gt=0, le=1)
    """Share of a group that is distilled (trajectory_choice_ratio)."""
    theta_sim: float = Field(default=0.85, ge=-1, le=1)
    """Similarity from which two principles may be the same."""
    prune_threshold: float = Field(default=0.3, ge=0, le=1)
    """Principles that score less are deleted; 0 keeps all."""
    clean_interval: int = Field(default=1, ge=1)
    """Rounds between deletions (10)."""
    poison: float = Field(default=0.0, ge=0, le=1)
    """Share of new principles that carry another's advice, to test the pruning."""
    cold_steps: int = Field(default=0, ge=0)
    """Optimizer steps of a cold start, for models that do not know the tags."""
    memory: Library = Library.LEARNED
    """What the library holds."""
    weights: Weights = Weights.GRPO
    """Whether the policy is trained."""


def format_reward(attempt: Attempt) -> float:
    """F: points for thoughts and searches, once there is one of each and an answer."""
    facts = {name: fact for name, fact in attempt.outcome.items() if isinstance(fact, int)}
    thoughts, searches = facts["thoughts"], (facts["memory_calls"], facts["knowledge_calls"])
    if not (thoughts and any(searches) and facts["answered"]):
        return 0.0
    think = 0.5 if thoughts > 8 else THOUGHTS.get(thoughts, 0.0)
    return (think + (0.5 if all(searches) else 0.2) + min(0.1 * (sum(searches) - 1), 0.5)) / 2


def group_relative(attempts: Sequence[Attempt], verdicts: Sequence[Verdict]) -> Batch:
    """Attempts weighted by their advantages."""
    rewards = [
        None if (em := value_of(verdict)) is None else (em + 0.1 * format_reward(attempt)) / 1.1
        for attempt, verdict in zip(attempts, verdicts, strict=True)
    ]
    return advantaged(attempts, rewards, group_advantages)


def distilled(off: Scope, mind: Policy, tried: Tries, config: Config) -> tuple[Draft, ...]:
    """A principle of every kept attempt; what says the same of one question stays once."""
    if config.memory is Library.RAW:
        items = [distil.raw(*one, [one.task.answer]) for one in tried]
    elif config.memory is Library.TAUGHT:
        items = [distil.by_template(*one) for one in tried]
    else:
        items = distil.summaries(off, mind, tried)
    drafts = [one.draft(item) for one, item in zip(tried, items, strict=True)]
    pairs = [(a.item, b.item) for a, b in combinations(drafts, 2) if a.rivals(b)]
    return store.first_of_each(drafts, distil.agreed(off, mind, pairs))


def organised(
    off: Scope, mind: Policy, old: Memory, tried: Tries, config: Config, tasks: TaskSet
) -> Inserted:
    """The offline phase: credit, distil, match, merge or insert, prune."""
    memory = store.credit(old, [one.use for one in tried])
    drafts = store.poisoned(distilled(off, mind, tried, config), config.poison, off.round)
    near = store.near(memory, drafts, top=TOP, least=config.theta_sim)
    same = dict(reversed(distil.agreed(off, mind, near)))
    grown = store.absorb(memory, drafts, same, answers={task.answer for task in tasks.train})
    return grown if off.round % config.clean_interval else grown.pruned(config.prune_threshold)


@recipe(
    paper="arXiv 2510.16079",
    improves="weights, memory",
    sees=Channel.LABEL,
    needs=(Need.LOGPROBS, Need.TRAIN),
    home=Setting(request={**WORLD, "train": 256, "val": 64, "test": 200, "control_samples": 4}),
    small=Setting(
        request={**WORLD, "train": 8, "val": 4, "test": 4, "control_samples": 2, "threads": 1},
        config={"iterations": 2, "prompts": 4, "group": 4, "cold_steps": 1},
    ),
    demo=Setting(
        request={**WORLD, "task": "rules?families=8", "train": 96, "val": 16, "test": 60},
        config={"iterations": 2, "prompts": 32},
    ),
    ablation={"memory": "permuted"},
    claim="Training while one's own scored principles can be consulted beats the same training without.",
    arms={
        "no library": {"memory": "none"},
        "frozen policy": {"weights": "frozen"},
        "raw logs": {"memory": "raw"},
        "removed at test": {"memory": "removed"},
    },
)
def evolver(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Online episodes with the library, then offline work on it, round by round."""
    if config.cold_steps:
        policy = run.prepared(cold_started(run.preparation(), policy, tasks.train, steps=config.cold_steps))
    size, base = config.mini_batch, policy.weights
    learner = PolicyGradient(epochs=1, batch_size=size, lr=config.lr, kl=config.beta, reference=base)
    memory = Memory(top=TOP)
    for it in run.iterations(config.iterations):
        asked = taken(tasks.train, it.round, config.prompts)
        attempts = it.attempt(policy, asked, samples=config.group)
        verdicts = it.judge(attempts, asked)
        candidate, grown = policy, Inserted(memory=memory)
        if config.weights is Weights.GRPO:
            candidate = it.update(learner, policy, it.curate(group_relative, attempts, verdicts))
        if config.memory is not Library.NONE:
            mind = candidate.without_part("memory").acting(SINGLE_TURN)
            kept = distil.tried(balanced(attempts, verdicts, share=config.choice_ratio), asked)
            grown = organised(it.scope("offline"), mind, memory, kept, config, tasks)
            mixed = config.memory is Library.PERMUTED
            shown = store.permuted(grown.memory, "shown") if mixed else grown.memory
            candidate = it.update(store.Shelve(), candidate, shown)
        it.measure(asks=mean(bool(a.outcome["used_memory"]) for a in attempts), **grown.measures)
        adopted = it.gate(candidate, incumbent=policy, tasks=tasks.val)
        policy, memory = adopted, grown.memory if adopted == candidate else memory
    return policy.without_part("memory") if config.memory is Library.REMOVED else policy
