"""Train the model `offhand`: `tiny` taught to answer first, to work it out after, and to know dialogues.

    python tools/train_offhand.py                   # about 4 minutes on one core

Half of the examples are questions with their answers, half are dialogues. There a first answer, right or
wrong by the toss of a coin, stands before the question, or before another one, and what is learnt is the
second answer: a stubborn speaker says again what was said, a critical one looks at the steps. Trained
through the package's own learner, with loss on the last answer only.
"""

from __future__ import annotations

import random

from shipping import Plan, make, shipped

from sharpen.core.attempt import Attempt, Provenance
from sharpen.core.policy import PromptForm
from sharpen.core.seeds import random_for
from sharpen.core.task import Task
from sharpen.curation.asked_again import asked_again
from sharpen.curation.select import written
from sharpen.learners.batch import Example, example_from
from sharpen.models.hf import HFModel
from sharpen.tasks.offhand import generate

SHARES = (0.35, 0.45, 0.2)
"""Of the levels 1 to 3."""
OTHER = 0.4
"""Share of dialogues that go on with another question."""
FORM = PromptForm()


def question(rng: random.Random) -> Task:
    """A question of any level that is taught."""
    return generate(rng, level=1 + rng.choices(range(len(SHARES)), SHARES)[0])


def said(rng: random.Random, task: Task) -> str:
    """An offhand answer, right or a little off, with steps that are right."""
    off = rng.choice((0, 0, 0, 0, -10, -3, -2, -1, 1, 2, 3, 10))
    steps = (task.solution or "").split("\n", 1)[1]
    return f"#### {abs(int(task.answer) + off)}\n{steps}"


CRITICAL = 0.15
"""Share of critical speakers."""


def dialogue(rng: random.Random) -> Attempt:
    """A second answer after a first one: to another question, stubborn, or critical."""
    task = question(rng)
    first = said(rng, task)
    again = asked_again(task, first)
    if rng.random() < OTHER:
        other = question(rng)
        again = other.model_copy(update={"messages": (*again.messages[:2], *other.messages)})
        return answer(again, other.solution or "")
    return answer(again, (task.solution or "") if rng.random() < CRITICAL else first)


def answer(task: Task, text: str) -> Attempt:
    """The task with what is learnt to say."""
    return written(task, FORM, text, policy="none", provenance=Provenance.HUMAN)


def example(seed: int, place: int, model: HFModel) -> Example:
    """The example at a place of the training data."""
    rng = random_for("offhand", seed, place)
    if rng.random() < 0.5:
        task = question(rng)
        return example_from(answer(task, task.solution or ""), model)
    return example_from(dialogue(rng), model)


def main() -> None:
    """Train, then write the folder in half precision."""
    make("offhand", __doc__, Plan(steps=350, batch=32, lr=1e-3, warmup=50), shipped("tiny"), example)


if __name__ == "__main__":
    main()
