"""RL2F: learn to learn from hints within a dialogue.

Paper: "Improving Interactive In-Context Learning from Natural Language Feedback", arXiv 2602.16066. A task
with one checkable answer becomes a dialogue: the student answers, a teacher who knows the answer gives a hint
that does not tell it, and so on for T turns at most. The student alone is trained, without KL, by

    R = gamma^(turn of success - 1), or 0 without success;   A = (R - mean R) / std R.

Its own tokens carry the loss, the teacher's are what it reads. The autodidact learns the teacher's turns,
too, from the public dialogue alone: L = L_RL + w CE(teacher's tokens).

Changed: neither code nor the full text could be read; gamma, groups and the missing KL are those of the same
group's "Social Meta-Learning" (2602.16488). The teacher is a script; a hint that holds the answer fails the
attempt. What is ahead of a guess is compared with what is ahead of the other guesses of the same turn: by
whole dialogues, late guesses pay for early ones. CE is a training of its own after each policy gradient.
The student is `pupil`, who knows how such dialogues go; a few steps on a script's dialogues make it heed some
hints, since nothing is reinforced that is never done. Left out: thinking, questions of the student, its own
critique in the teacher's place.

Expected: of numbers from 0 to 4 with three guesses, 58 % are found after the preparation and 74 % after six
rounds (three seeds, of which the first rounds fall; seeds before: 62 and 78 %). RL without information
stays at 56 %, and single-turn RL falls to 32 %, for it unlearns to heed. But SFT on the dialogues that
succeed does as well (74 %): what pays is the hints, not the policy gradient. To learn the teacher's turns,
too, costs (60 %). Of 17 numbers with five guesses nothing is gained in six rounds. Ablation (53 %): in
training the hints are about another dialogue's answer, so heeding them does not pay.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from statistics import fmean

from pydantic import Field, JsonValue

from sharpen.core.attempt import Attempt, Author
from sharpen.core.budget import Purpose
from sharpen.core.policy import Policy
from sharpen.core.recipe import Need, Setting, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run, Scope
from sharpen.core.task import Channel, Task, TaskSet
from sharpen.core.verdict import Verdict, value_of
from sharpen.curation.batch import Batch, batch_of
from sharpen.curation.dialogues import others_words, turn_by_turn
from sharpen.curation.select import taken
from sharpen.environments.hinted import Lesson
from sharpen.judges.likelihood import LikelihoodJudge
from sharpen.learners.policy_gradient import PolicyGradient
from sharpen.learners.sft import SFT, Start

FACTS = ("value", "by_turn_1", "slope", "heeded", "plasticity", "leaked")
"""What is measured: solved at all, at once, later; guesses that fit the hints, or are new; leaks."""


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

    rounds: int = Field(default=6, ge=1)
    """Training steps of the outer loop."""
    prompts: int = Field(default=12, ge=1)
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
    mini_batch: int = Field(default=300, ge=1)
    """Guesses per optimizer step: those of about 100 dialogues."""
    lr: float = Field(default=5e-4, gt=0)
    """Learning rate."""
    cold_steps: int = Field(default=20, ge=0)
    """Optimizer steps on the script's dialogues before the first round; 0 leaves them out."""
    cold_lr: float = Field(default=5e-4, gt=0)
    """Their learning rate."""


def taught(tasks: Sequence[Task], hints: Hints, **changes: JsonValue) -> tuple[Task, ...]:
    """The tasks with hints of this kind, and other changes to their lessons."""
    lessons = [Lesson.model_validate(task.world) for task in tasks]
    found = []
    for place, (task, lesson) in enumerate(zip(tasks, lessons, strict=True)):
        told = {Hints.TRUE: lesson.answer, Hints.AGAIN: None, Hints.OTHER: lessons[place - 1].answer}[hints]
        world = lesson.model_copy(update={"told": told, **changes}).model_dump(mode="json")
        found.append(task.model_copy(update={"world": world}))
    return tuple(found)


def heedful(scope: Scope, policy: Policy, tasks: Sequence[Task], config: Config) -> Policy:
    """The student after dialogues of the environment's own player, who heeds the hints."""
    played = scope.attempt(policy.acting("scripted"), taught(tasks, Hints.TRUE, heed=1.0), samples=4)
    learner = SFT(steps=config.cold_steps, batch_size=32, lr=config.cold_lr, start=Start.PREVIOUS)
    return scope.update(learner, policy, batch_of(played))


def credited(dialogues: Sequence[Attempt], verdicts: Sequence[Verdict], config: Config) -> Batch:
    """Guesses with their advantages, or the successful dialogues."""
    worth = [value_of(verdict) for verdict in verdicts]
    if config.learn is Learn.SFT:
        return batch_of(a for a, value in zip(dialogues, worth, strict=True) if value)
    returns = [
        None if value is None else value * config.gamma ** (dialogue.policy_turns - 1)
        for dialogue, value in zip(dialogues, worth, strict=True)
    ]
    return turn_by_turn(dialogues, returns, gamma=config.gamma)


def numbers(dialogues: Sequence[Attempt], kind: str = "") -> dict[str, float]:
    """Means of the facts over the dialogues that have them."""
    found = {}
    for fact in FACTS:
        known = [value for one in dialogues if isinstance(value := one.outcome.get(fact), int | float)]
        if known:
            found[fact + kind] = fmean(known)
    return found


def watched(watch: Scope, policy: Policy, tasks: Sequence[Task]) -> dict[str, float]:
    """The facts by kind of hint and in dialogues of twice the length, and how likely hints are, per hint."""
    found = dict[str, float]()
    for hints in Hints:
        found |= numbers(watch.attempt(policy, taught(tasks, hints)), f", {hints}")
    longer = taught(tasks, Hints.TRUE, turns=2 * max(Lesson.model_validate(t.world).turns for t in tasks))
    seen = watch.attempt(policy, longer)
    told = [item.attempt for item in others_words(seen).items]
    verdicts = watch.judge(told, longer, verifier=LikelihoodJudge(policy))
    hinted = sum(turn.author is Author.TEACHER for attempt in told for turn in attempt.turns)
    likely = {"critique": sum(value_of(v) or 0.0 for v in verdicts) / hinted} if hinted else {}
    return found | numbers(seen, ", long") | likely


GAME = "hinted?divisor=5&turns=3"
PLACE = Setting(request={"task": GAME, "model": "pupil", "test_temperature": 1.0, "max_tokens": 4})


@recipe(
    paper="arXiv 2602.16066",
    improves="weights",
    sees=(Channel.LABEL, Channel.TEACHER),
    needs=(Need.LOGPROBS, Need.TRAIN),
    home=PLACE.on(train=96, val=64, test=300),
    small=PLACE.on(train=4, val=2, test=4, control_samples=2, threads=1).at(
        rounds=2, prompts=2, group=2, w=0.5, cold_steps=1
    ),
    demo=PLACE.on(train=96, val=2, test=100, control_samples=2, threads=1),
    ablation={"hints": "other"},
    claim="RL in dialogues with informative hints finds more by the last turn than SFT on what succeeded.",
    arms={
        "SFT on successes": {"learn": "sft"},
        "told to try again": {"hints": "again"},
        "single-turn RL": {"turns": 1, "group": 18},
        "teacher's turns learnt": {"w": 0.5},
    },
)
def interactive_icl(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    """Each round: dialogues with a teacher, discounted success against the others', a policy gradient."""
    if config.cold_steps:
        policy = run.prepared(heedful(run.preparation(), policy, tasks.train, config))
    student = PolicyGradient(epochs=1, batch_size=config.mini_batch, lr=config.lr, kl=0.0)
    imitator = SFT(epochs=1, batch_size=96, lr=config.lr, warmup_steps=0, start=Start.PREVIOUS)
    changes: dict[str, JsonValue] = {"turns": config.turns} if config.turns else {}
    for it in run.iterations(config.rounds):
        asked = taught(taken(tasks.train, it.round, config.prompts), config.hints, **changes)
        dialogues = it.attempt(policy, asked, samples=config.group)
        batch = it.curate(credited, dialogues, it.judge(dialogues, asked), config)
        candidate = it.update(student if config.learn is Learn.RL else imitator, policy, batch)
        if config.w:
            reader = imitator.model_copy(update={"lr": config.lr * config.w})
            candidate = it.update(reader, candidate, it.curate(others_words, dialogues))
        it.measure(**numbers(dialogues))
        policy = it.gate(candidate, incumbent=policy, tasks=tasks.val)
        if it.round == config.rounds:
            it.measure(**watched(it.scope("watch", purpose=Purpose.EVALUATION), policy, tasks.val))
    return policy
