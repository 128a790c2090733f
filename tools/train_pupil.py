"""Train the model `pupil`: `offhand` taught the forms of feedback, and hardly any of the skill to use it.

    python tools/train_pupil.py                   # about 4 minutes on one core

Of twenty examples four are questions with offhand answers, five feedback on such an answer, five the answer
after feedback (see sharpen.curation.remarks), and six dialogues with a teacher who gives hints (see
sharpen.environments.hinted). Most speakers write feedback at random, repeat the answer whatever was said of
it, and guess whatever the hints say; a few look. Loss is on the last answer, and on all guesses of a
dialogue.
"""

from __future__ import annotations

import random

from shipping import Plan, make, shipped

from sharpen.actors.episodes import begin
from sharpen.actors.scripted import played
from sharpen.core.attempt import Provenance
from sharpen.core.policy import GREEDY, Job, Policy, PromptForm
from sharpen.core.seeds import random_for
from sharpen.core.task import Task
from sharpen.curation.remarks import AGAIN, CHECK, FIELD, RIGHT, WRONG, after, checked
from sharpen.curation.select import written
from sharpen.learners.batch import Example, example_from
from sharpen.models.hf import HFModel
from sharpen.tasks import hinted
from sharpen.tasks.offhand import generate

SHARES = (0.4, 0.6)
"""Of the levels 1 and 2."""
OFF = (0, -10, -3, -2, -1, 1, 2, 3, 10)
FORM = PromptForm()
HINTED, OFFHAND, CHECKED = 6, 10, 15
"""Kinds of examples: places of twenty below which they lie; the rest are answers after feedback."""
HEED = 0.3
"""Share of dialogues in which the hints are heeded."""


def said(rng: random.Random, task: Task) -> str:
    """An offhand answer, seldom right, with steps that are right."""
    steps = (task.solution or "").split("\n", 1)[1]
    return f"#### {abs(int(task.answer) + rng.choice(OFF))}\n{steps}"


CAREFUL = 0.15
"""Share of speakers who look at the steps."""


def remark(rng: random.Random, task: Task, answer: str, careful: float) -> str:
    """Feedback: by the steps, or at random."""
    if rng.random() < careful:
        return checked(task, answer).feedback
    result = abs(int(task.answer) + rng.choice(OFF))
    return f"#### {result}\n{FIELD}: {rng.choice((RIGHT, WRONG))}"


def example(seed: int, place: int, model: HFModel) -> Example:
    """The example at a place of the training data."""
    rng = random_for("pupil", seed, place)
    kind = place % 20
    if kind < HINTED:
        return lesson(rng, model)
    task = generate(rng, level=1 + rng.choices(range(len(SHARES)), SHARES)[0])
    answer = said(rng, task)
    if kind < OFFHAND:
        return learnt(task, answer, model)
    check = after(task, answer, CHECK)
    if kind < CHECKED:
        return learnt(check, remark(rng, task, answer, CAREFUL), model)
    attentive = rng.random() < CAREFUL
    feedback = checked(task, answer).feedback if attentive else remark(rng, task, answer, 0.5)
    again = after(check, feedback, AGAIN)
    return learnt(again, checked(task, answer).refined if attentive else answer, model)


def lesson(rng: random.Random, model: HFModel) -> Example:
    """A dialogue of guesses and hints, played by the environment's own player."""
    task = hinted.generate(rng, divisor=17, turns=5)
    task = task.model_copy(update={"world": {**task.world, "heed": HEED}})  # type: ignore[dict-item]
    job = Job(task=task, index=0, seed=rng.randrange(2**31))
    policy = Policy(model="none", base="none")
    return example_from(played(begin(policy, job, GREEDY, None), policy, GREEDY), model)


def learnt(task: Task, text: str, model: HFModel) -> Example:
    """What is to be said in a dialogue."""
    return example_from(written(task, FORM, text, policy="none", provenance=Provenance.HUMAN), model)


def main() -> None:
    """Train, then write the folder in half precision."""
    make("pupil", __doc__, Plan(steps=280, batch=32, lr=1e-3, warmup=30), shipped("offhand"), example)


if __name__ == "__main__":
    main()
