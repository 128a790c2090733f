"""EvolveR: a policy trained by reinforcement while it can consult what it learnt from its own episodes.

Paper: "EvolveR: Self-Evolving LLM Agents through an Experience-Driven Lifecycle", arXiv 2510.16079. Code:
Edaizi/EvolveR. Each round, online: a group of G episodes a task, in which asking the library of principles is
an action; reward and advantage

    R = (EM + 0.1 F) / 1.1,    A_i = (R_i - mean R) / (std R + 1e-6),

and a step of GRPO (clipped ratio, KL to the start policy, what the tools said masked out). Offline, with the
weights frozen: credit what was consulted, s = (succ + 1) / (use + 2); distil at most a quarter of each group,
half of it successes, into principles (guiding or cautionary); merge those that say the same; prune s < 0.3.

As in the code: F = (think + search) / 2 from counts, 0 unless there is a thought, a search and an answer; the
library is empty at the start; retrieval goes by similarity alone, the score is shown and used for pruning;
credit goes to everything consulted. Changed: the gold answer is not shown to the distiller (in the code it
is), and a principle that holds a training answer is refused. Principles are one line without triplets. A
world of hidden rules stands for open-domain questions, since a small model has to read and write principles.
The default distiller is the policy itself; `template` is the paper's stronger teacher. Left out: the entropy
bonus, and the reward terms that the authors' script weights with 0. The shipped model `seeker` has had its
cold start on episodes with made-up rules, so `cold_steps` is 0; it knows the tags and no rule.

Expected: exact match on held-out questions of the same families rises far above the arm without a library
("no library"), and most of it goes when the library is taken away at test ("removed at test"). Ablation:
`memory = "permuted"` shows each principle in the place of another, and the gain is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from itertools import combinations
from statistics import mean

from pydantic import Field

from sharpen.core.attempt import Attempt
from sharpen.core.policy import Policy
from sharpen.core.recipe import Setting, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run, Scope
from sharpen.core.task import SINGLE_TURN, Channel, TaskSet
from sharpen.core.verdict import Verdict, value_of
from sharpen.curation.batch import Batch
from sharpen.curation.batch import Item as Weighted
from sharpen.curation.select import balanced, taken
from sharpen.learners.policy_gradient import PolicyGradient, group_advantages
from sharpen.learners.sft import SFT
from sharpen.stores import distil
from sharpen.stores.distil import Tried, tried
from sharpen.stores.memory import (
    Draft,
    Index,
    Inserted,
    Memory,
    Refusal,
    Shelve,
    absorb,
    candidates,
    credit,
    first_of_each,
    insert,
    permuted,
    poisoned,
    prune,
)

THOUGHTS = {1: 0.2, 2: 0.3, 3: 0.4, 4: 0.6, 5: 0.8, 6: 1.0}
TOP = 3
WORLD = {"task": "rules?families=16", "model": "seeker", "max_tokens": 32}


class Library(StrEnum):
    """What asking one's experience gives."""

    LEARNED = "learned"
    NONE = "none"
    """Nothing: plain GRPO with the same tools, the arm to beat."""
    PERMUTED = "permuted"
    """The ablation: every principle is found as before, and another's text is shown."""
    RAW = "raw"
    """Logs of attempts as they stand instead of principles."""


class Weights(StrEnum):
    """Whether the policy is trained."""

    GRPO = "grpo"
    FROZEN = "frozen"


class Distiller(StrEnum):
    """Who writes principles."""

    POLICY = "policy"
    TEMPLATE = "template"


class AtTest(StrEnum):
    """Whether the final policy keeps its library."""

    KEPT = "kept"
    REMOVED = "removed"


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
    clip: float = Field(default=0.2, gt=0, lt=1)
    """How far a probability ratio may leave 1 (epsilon)."""
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
    """Share of new principles whose advice is replaced by another's, to test the pruning."""
    cold_steps: int = Field(default=0, ge=0)
    """Optimizer steps of a cold start on demonstrations; for models that do not know the tags yet."""
    memory: Library = Library.LEARNED
    """What the library holds."""
    weights: Weights = Weights.GRPO
    """Whether the policy is trained."""
    distiller: Distiller = Distiller.POLICY
    """Who writes principles."""
    at_test: AtTest = AtTest.KEPT
    """Whether the final policy keeps its library."""


def format_reward(attempt: Attempt) -> float:
    """F of the authors' code: thoughts and searches, once there is one of each and an answer."""
    facts = {name: int(v) for name, v in attempt.outcome.items() if isinstance(v, int)}
    thoughts, kinds = facts["thoughts"], (facts["memory_calls"], facts["knowledge_calls"])
    if not (thoughts and any(kinds) and facts["answered"]):
        return 0.0
    think = 0.5 if thoughts > 8 else THOUGHTS.get(thoughts, 0.0)
    return (think + (0.5 if all(kinds) else 0.2) + min(0.1 * (sum(kinds) - 1), 0.5)) / 2


def group_relative(attempts: Sequence[Attempt], verdicts: Sequence[Verdict]) -> Batch:
    """Attempts with their advantages; R = (EM + 0.1 F) / 1.1."""
    rewards = [
        None if (value := value_of(verdict)) is None else (value + 0.1 * format_reward(attempt)) / 1.1
        for attempt, verdict in zip(attempts, verdicts, strict=True)
    ]
    advantages = group_advantages([attempt.task for attempt in attempts], rewards)
    return Batch(
        items=tuple(Weighted(attempt=a, weight=w) for a, w in zip(attempts, advantages, strict=True) if w)
    )


def cold_started(prep: Scope, policy: Policy, tasks: TaskSet, config: Config) -> Policy:
    """SFT on the environment's own episodes: first without advice, then with what those happened to try.

    Nothing of it is judged, so the advice is made up and the policy learns tools and tags alone.
    """
    if not config.cold_steps:
        return policy
    player = policy.acting("scripted")
    blind = prep.attempt(player, tasks.train)
    made_up = [distil.by_template(task, a, True) for task, a in zip(tasks.train, blind, strict=True)]
    advised = prep.update(Shelve(), player, insert(Memory(top=TOP), made_up, answers=()).memory)
    episodes = (*blind, *prep.attempt(advised, tasks.train, samples=4))
    batch = Batch(items=tuple(Weighted(attempt=attempt) for attempt in episodes))
    return prep.update(SFT(steps=config.cold_steps, batch_size=32, lr=config.lr), policy, batch)


def distilled(off: Scope, policy: Policy, tried: Sequence[Tried], config: Config) -> tuple[Draft, ...]:
    """One principle of every kept attempt, the same ones from one question only once."""
    if config.memory is Library.RAW:
        items = [distil.raw(*one, [one.task.answer]) for one in tried]
    elif config.distiller is Distiller.TEMPLATE:
        items = [distil.by_template(*one) for one in tried]
    else:
        items = distil.summaries(off, policy, tried)
    drafts = [one.draft(item) for one, item in zip(tried, items, strict=True)]
    alike = [
        (one.item, other.item)
        for one, other in combinations(drafts, 2)
        if one.question == other.question and one.item.leaning is other.item.leaning
    ]
    return first_of_each(drafts, distil.agreed(off, policy, alike))


def organised(
    off: Scope,
    policy: Policy,
    memory: Memory,
    tried: Sequence[Tried],
    config: Config,
    answers: frozenset[str],
) -> Inserted:
    """The offline phase: credit, distil, match, merge or insert, prune."""
    memory = credit(memory, [one.use for one in tried])
    drafts = poisoned(distilled(off, policy, tried, config), config.poison, off.round)
    near = candidates(Index.of(memory), [d.item for d in drafts], top=TOP, least=config.theta_sim)
    same = dict(reversed(distil.agreed(off, policy, near)))
    grown = off.curate(absorb, memory, drafts, same, answers=answers)
    if off.round % config.clean_interval:
        return grown
    return grown.model_copy(update={"memory": prune(grown.memory, config.prune_threshold)})


def with_library(it: Scope, policy: Policy, memory: Memory, config: Config) -> Policy:
    """The policy with the library as it gets to see it."""
    shown = permuted(memory, "shown") if config.memory is Library.PERMUTED else memory
    return it.update(Shelve(), policy, shown)


@recipe(
    paper="arXiv 2510.16079",
    improves="weights, memory",
    sees=Channel.LABEL,
    home=Setting(request={**WORLD, "train": 256, "val": 64, "test": 200, "control_samples": 4}),
    small=Setting(
        request={**WORLD, "train": 8, "val": 4, "test": 4, "control_samples": 2, "threads": 1},
        config={"iterations": 2, "prompts": 4, "group": 4, "cold_steps": 1},
    ),
    demo=Setting(
        request={**WORLD, "task": "rules?families=8", "train": 96, "val": 16, "test": 100, "threads": 1},
        config={"iterations": 3, "prompts": 32, "group": 8},
    ),
    ablation={"memory": "permuted"},
    claim="Training while one's own scored principles can be consulted beats the same training without.",
    arms={
        "no library": {"memory": "none"},
        "frozen policy": {"weights": "frozen"},
        "raw logs": {"memory": "raw"},
        "removed at test": {"at_test": "removed"},
    },
)
def evolver(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Online episodes with the library, then offline work on it, round by round."""
    policy = run.prepared(cold_started(run.preparation(), policy, tasks, config))
    answers = frozenset(task.answer for task in tasks.train)
    learner = PolicyGradient(
        epochs=1, batch_size=config.mini_batch, lr=config.lr, kl=config.beta, reference=policy.weights
    )
    memory = Memory(top=TOP)
    for it in run.iterations(config.iterations):
        asked = taken(tasks.train, it.round, config.prompts)
        attempts = it.attempt(policy, asked, samples=config.group)
        verdicts = it.judge(attempts, asked)
        candidate, grown = policy, Inserted(memory=memory)
        if config.weights is Weights.GRPO:
            candidate = it.update(learner, policy, it.curate(group_relative, attempts, verdicts))
        if config.memory is not Library.NONE:
            kept = balanced(attempts, verdicts, share=config.choice_ratio)
            mind = candidate.without_part("memory").acting(SINGLE_TURN)
            grown = organised(it.scope("offline"), mind, memory, tried(kept, asked), config, answers)
            candidate = with_library(it, candidate, grown.memory, config)
        it.measure(
            principles=len(grown.memory),
            mean_score=grown.memory.mean_score,
            leaks_refused=grown.refused.get(Refusal.LEAK, 0),
            asks=mean(float(bool(a.outcome["used_memory"])) for a in attempts),
        )
        adopted = it.gate(candidate, incumbent=policy, tasks=tasks.val)
        policy, memory = adopted, grown.memory if adopted.version == candidate.version else memory
    return policy if config.at_test is AtTest.KEPT else policy.without_part("memory")
