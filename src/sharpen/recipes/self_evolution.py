"""SELF: learn to criticise and to mend one's own answers, then live on what one mended.

Paper: "SELF: Self-Evolution with Language Feedback", arXiv 2310.00533. Once, an annotator says of answers r of
the start model what is wrong (f) and gives a refined answer r^. The two meta-skills are learnt from D_meta:

    L_meta = -E[log pi(f | p, r) + log pi(r^ | p, r, f) + b log pi(r^ | p)].

Then each round, on prompts without labels: answer r, own feedback f, refined answer r^, own feedback on r^;
keep r^ if that holds it to be right, and train the direct answer, L_self = -E[log pi(r^ | p)], mixed with
D_meta so that the skills survive: from the base on all data so far (restart) or from the last policy.

Changed: no code was published, and not all of the text could be read. The annotator is a program that compares
an answer with the task's own worked solution line by line, so labels are seen, of the `meta` prompts alone.
Its refined answer is the solution, worked out first; a right answer is repeated as it stands. b is 0, as one
version of the paper has it: with b = 1 the start policy has learnt the solutions already. Left out: prompts
by self-instruct. `before` is the policy with meta-skills.

Expected: `offhand` answers before it works anything out. Refined answers are far better than first ones, and
the rounds pass this on to direct answers, while labels on the meta prompts alone (`labels only`) do this, too:
the reviewers' objection. The loop can only help where `precision`, the share of right ones among kept answers,
is above `direct`, that of first answers: both are measured in every round, for reports alone.
Ablation: feedback that always finds an answer right, so that refining repeats it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from pydantic import Field

from sharpen.core.attempt import Attempt, Provenance
from sharpen.core.policy import Policy
from sharpen.core.records import Record
from sharpen.core.task import Message, Role, Task
from sharpen.curation.batch import Batch, Item
from sharpen.curation.select import written
from sharpen.judges.asking import FIELD
from sharpen.learners.sft import Start

CHECK, AGAIN = "check", "again"
RIGHT, WRONG = "right", "wrong"
FINE = f"{FIELD}: {RIGHT}"


class Feedback(StrEnum):
    """Who says what is wrong with an answer in the rounds."""

    OWN = "own"
    CONSTANT = "constant"
    """The ablation: every answer is found right."""


class Filter(StrEnum):
    """Which refined answers are kept."""

    OWN = "own"
    """Those that the policy's own verdict holds to be right."""
    RANDOM = "random"
    """As many, by chance."""
    ORACLE = "oracle"
    """Those that are right."""
    NONE = "none"


class Learn(StrEnum):
    """What the rounds train on."""

    REFINED = "refined"
    FIRST = "first"
    """First answers, filtered alike: no refinement."""
    LABELS = "labels"
    """The worked solutions of the meta prompts, over and over."""


class Test(StrEnum):
    """How a policy answers when it is tested."""

    DIRECT = "direct"
    REFINED = "refined"
    """Answer, feedback, refine."""


class Config(Record):
    """Settings of SELF."""

    rounds: int = Field(default=3, ge=1)
    """Rounds of self-evolution (T)."""
    prompts: int = Field(default=60, ge=1)
    """Prompts per round (P_t)."""
    meta: int = Field(default=60, ge=1)
    """Annotated prompts, the first ones of the training split."""
    meta_steps: int = Field(default=100, ge=1)
    """Optimizer steps of meta-skill learning."""
    b: float = Field(default=0.0, ge=0)
    """Weight of the direct term of meta-skill learning."""
    steps: int = Field(default=20, ge=1)
    """Optimizer steps per round."""
    strategy: Start = Start.PREVIOUS
    """Train the last policy on this round's data, or the base model on all data so far (`base`)."""
    replay: bool = True
    """Mix D_meta into the rounds' data, as many items at most."""
    feedback: Feedback = Feedback.OWN
    """`constant` is the ablation."""
    filter: Filter = Filter.OWN
    """Which refined answers are kept."""
    learn: Learn = Learn.REFINED
    """What the rounds train on."""
    test: Test = Test.DIRECT
    """How a policy answers when it is tested."""
    lr: float | None = Field(default=None, gt=0)
    """Learning rate; none means the learner's default for the model's size."""


def after(tasks: Sequence[Task], said: Sequence[str], request: str) -> tuple[Task, ...]:
    """The dialogues that go on with what was said and a request."""
    return tuple(
        task.model_copy(
            update={
                "messages": (
                    *task.messages,
                    Message(role=Role.ASSISTANT, content=words),
                    Message(role=Role.USER, content=request),
                )
            }
        )
        for task, words in zip(tasks, said, strict=True)
    )


def annotated(task: Task, answer: str) -> tuple[str, str]:
    """The annotator's feedback, with the first wrong line put right, and the refined answer."""
    solution = (task.solution or "").splitlines()
    result = next(line for line in solution if line.startswith("####"))
    steps = [line for line in solution if line != result]
    own = answer.splitlines()
    missing = [line for line in steps if line not in own]
    wrong = bool(missing) or result not in own
    feedback = "\n".join([result, *missing[:1], f"{FIELD}: {WRONG if wrong else RIGHT}"])
    return feedback, "\n".join([*steps, result]) if wrong else answer


def corpus(tasks: Sequence[Task], answers: Sequence[Attempt], policy: Policy, b: float) -> Batch:
    """D_meta: feedback and refined answer to each answer, and with weight b the refined answer alone."""
    said = [answer.response for answer in answers]
    notes = [annotated(task, words) for task, words in zip(tasks, said, strict=True)]
    check = after(tasks, said, CHECK)
    again = after(check, [feedback for feedback, _ in notes], AGAIN)
    rows = [
        row
        for task, one, two, (feedback, refined) in zip(tasks, check, again, notes, strict=True)
        for row in ((one, feedback, 1.0), (two, refined, 1.0), (task, refined, b))
    ]
    return Batch(
        items=tuple(
            Item(
                attempt=written(
                    task, policy.prompt, text, policy=policy.version, provenance=Provenance.DISTILLED
                ),
                weight=weight,
            )
            for task, text, weight in rows
            if weight
        )
    )
