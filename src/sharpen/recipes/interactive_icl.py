"""RL2F: learn to learn from hints within a dialogue.

Paper: "Improving Interactive In-Context Learning from Natural Language Feedback", arXiv 2602.16066. A task
with one checkable answer becomes a dialogue: the student answers, a teacher who knows the answer gives a hint
that does not tell it, and so on for T turns at most. The student alone is trained, by group advantages:

    R = gamma^(turn of success - 1), or 0 without success;   A_k = (R_k - mean R) / std R;   no KL.

Its own tokens carry the loss, the teacher's are what it reads. The autodidact learns the teacher's turns,
too, from the public dialogue alone: L = L_RL + w CE(teacher's tokens).

Changed: neither code nor the full text could be read; gamma, groups and the missing KL are those of the same
group's "Social Meta-Learning" (2602.16488). The teacher is a script; a hint that holds the answer fails the
attempt. The student is `pupil` after a cold start on dialogues whose script guesses by chance, in a share
`heed` within the hints: `before` knows how dialogues go and heeds little. CE is a training of its own after
each policy gradient. Left out: thinking before an answer, questions of the student.

Expected: more is solved by the last turn than with as many tries and no hints (`again`), while single-turn RL
stays at that line. Both curves are measured on val after the last round: `slope`, `slope again`.
Ablation: in training the hints are about another dialogue's answer, so heeding them does not pay.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from statistics import fmean

from pydantic import Field

from sharpen.core.attempt import Attempt, Author
from sharpen.core.budget import Purpose
from sharpen.core.policy import Policy
from sharpen.core.recipe import Need, Setting, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run, Scope
from sharpen.core.task import Channel, Task, TaskSet
from sharpen.core.verdict import Verdict, value_of
from sharpen.curation.advantages import group_advantages
from sharpen.curation.batch import Batch, batch_of
from sharpen.curation.groups import advantaged
from sharpen.curation.select import taken
from sharpen.environments.hinted import Lesson
from sharpen.learners.policy_gradient import PolicyGradient
from sharpen.learners.sft import SFT, Start


class Hints(StrEnum):
    """What the teacher's hints are about."""

    TRUE = "true"
    AGAIN = "again"
    """Nothing: every wrong answer is only called wrong."""
    OTHER = "other"
    """The answer of another dialogue. The ablation."""


class Learn(StrEnum):
    """How the student learns."""

    RL = "rl"
    SFT = "sft"
    """Supervised, from the dialogues that succeed."""


class Config(Record):
    """Settings of RL2F."""

    rounds: int = Field(default=8, ge=1)
    """Training steps of the outer loop."""
    prompts: int = Field(default=24, ge=1)
    """Problems per round."""
    group: int = Field(default=8, ge=2)
    """Dialogues per problem (g)."""
    gamma: float = Field(default=0.7, gt=0, le=1)
    """Discount per turn."""
    turns: int | None = Field(default=None, ge=1)
    """Turns of a dialogue in training (T); none means as the task has it, 1 is single-turn RL."""
    hints: Hints = Hints.TRUE
    """`other` is the ablation."""
    learn: Learn = Learn.RL
    """How the student learns."""
    w: float = Field(default=0.0, ge=0)
    """Weight of the teacher's turns, as a factor of the learning rate; 0 leaves them out."""
    mini_batch: int = Field(default=96, ge=1)
    """Dialogues per optimizer step."""
    lr: float = Field(default=3e-4, gt=0)
    """Learning rate."""
    cold_steps: int = Field(default=50, ge=1)
    """Optimizer steps of the cold start."""
    cold_lr: float = Field(default=1e-3, gt=0)
    """Its learning rate."""
    heed: float = Field(default=0.5, ge=0, le=1)
    """Share of its dialogues in which the hints are heeded."""


def taught(
    tasks: Sequence[Task], hints: Hints, turns: int | None = None, heed: float = 0.0
) -> tuple[Task, ...]:
    """The tasks with a teacher whose hints are of this kind, so many turns, and a script that may heed."""
    lessons = [Lesson.model_validate(task.world) for task in tasks]
    found = []
    for place, (task, lesson) in enumerate(zip(tasks, lessons, strict=True)):
        told = {Hints.TRUE: lesson.answer, Hints.AGAIN: None, Hints.OTHER: lessons[place - 1].answer}[hints]
        changed = lesson.model_copy(update={"told": told, "turns": turns or lesson.turns, "heed": heed})
        found.append(task.model_copy(update={"world": changed.model_dump(mode="json")}))
    return tuple(found)


def discounted(attempt: Attempt, verdict: Verdict, gamma: float) -> float | None:
    """gamma^(turn of success - 1), 0 without success, unknown where the verdict is."""
    value = value_of(verdict)
    return None if value is None else value * gamma ** (attempt.policy_turns - 1)


def group_relative(attempts: Sequence[Attempt], verdicts: Sequence[Verdict], config: Config) -> Batch:
    """Dialogues weighted by their advantages, or the successful ones."""
    rewards = [discounted(a, v, config.gamma) for a, v in zip(attempts, verdicts, strict=True)]
    if config.learn is Learn.SFT:
        return batch_of(a for a, reward in zip(attempts, rewards, strict=True) if reward)
    return advantaged(attempts, rewards, group_advantages)


def teachers_part(attempts: Sequence[Attempt]) -> Batch:
    """The dialogues with loss on the teacher's turns alone."""
    found = []
    for attempt in attempts:
        turns = [
            turn.model_copy(update={"author": Author.TEACHER})
            if turn.author is Author.ENVIRONMENT
            else turn.model_copy(update={"trained": False})
            for turn in attempt.turns
        ]
        if attempt.policy_turns > 1:
            found.append(attempt.model_copy(update={"turns": tuple(turns)}))
    return batch_of(found)


def cold_started(scope: Scope, policy: Policy, tasks: Sequence[Task], config: Config) -> Policy:
    """The student after dialogues of the environment's own player, four per task."""
    played = scope.attempt(policy.acting("scripted"), taught(tasks, Hints.TRUE, heed=config.heed), samples=4)
    learner = SFT(steps=config.cold_steps, lr=config.cold_lr, start=Start.PREVIOUS)
    return scope.update(learner, policy, batch_of(played))


def numbers(attempts: Sequence[Attempt], name: str) -> dict[str, float]:
    """Means over dialogues: solved at the first turn, gained after it, answers changed, leaks."""
    found = {}
    for fact in ("by_turn_1", "slope", "plasticity", "leaked"):
        known = [float(value) for a in attempts if isinstance(value := a.outcome.get(fact), int | float)]
        if known:
            found[f"{fact}{name}"] = fmean(known)
    return found


PLACE = Setting(request={"task": "hinted", "model": "pupil", "test_temperature": 1.0, "max_tokens": 6})


@recipe(
    paper="arXiv 2602.16066",
    improves="weights",
    sees=(Channel.LABEL, Channel.TEACHER),
    needs=(Need.LOGPROBS, Need.TRAIN),
    home=PLACE.on(train=256, val=64, test=300),
    small=PLACE.on(train=4, val=2, test=4, control_samples=2, threads=1).at(
        rounds=2, prompts=2, group=2, w=0.5, cold_steps=1
    ),
    demo=PLACE.on(train=96, val=4, test=100, control_samples=2, threads=1).at(rounds=4),
    ablation={"hints": "other"},
    claim="RL with informative hints raises what is solved by the last turn; single-turn RL does not.",
    arms={
        "single-turn RL": {"turns": 1, "group": 20},
        "told to try again": {"hints": "again"},
        "SFT on successes": {"learn": "sft"},
        "teacher's turns learnt": {"w": 0.5},
    },
)
def interactive_icl(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Each round: dialogues with a teacher, discounted success against the group's, a policy gradient."""
    policy = run.prepared(cold_started(run.preparation(), policy, tasks.train, config))
    student = PolicyGradient(epochs=1, batch_size=config.mini_batch, lr=config.lr, kl=0.0)
    imitator = SFT(epochs=1, batch_size=config.mini_batch, lr=config.lr, start=Start.PREVIOUS)
    reader = SFT(epochs=1, batch_size=config.mini_batch, lr=config.lr * (config.w or 1), start=Start.PREVIOUS)
    kept = policy
    for it in run.iterations(config.rounds):
        asked = taught(taken(tasks.train, it.round, config.prompts), config.hints, config.turns)
        dialogues = it.attempt(kept, asked, samples=config.group)
        verdicts = it.judge(dialogues, asked)
        batch = it.curate(group_relative, dialogues, verdicts, config)
        policy = it.update(student if config.learn is Learn.RL else imitator, kept, batch)
        if config.w:
            policy = it.update(reader, policy, it.curate(teachers_part, dialogues))
        it.measure(**numbers(dialogues, ""))
        kept = it.gate(policy, incumbent=kept, tasks=tasks.val)
        if it.round == config.rounds:
            watch = it.scope("watch", purpose=Purpose.EVALUATION)
            for hints in Hints:
                seen = watch.attempt(kept, taught(tasks.val, hints))
                it.measure(**numbers(seen, f", val, {hints}"))
    return kept
