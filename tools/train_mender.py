"""Train the model `mender`: `offhand` taught to say what is wrong with an answer, and to heed what is said.

    python tools/train_mender.py                   # about 4 minutes on one core

A third of the examples are questions with their answers. A third are criticisms: a first answer, right or
wrong by the toss of a coin, then `right?`, and `yes` or `no, ` and the number in which its steps end. A third
are second answers: with such words before the question they give the number that was said, right or not, and
without any they say the first answer again. So nothing but the words can mend an answer. Trained through the
package's own learner, with loss on the last answer only.
"""

from __future__ import annotations

import random

from shipping import Plan, make, shipped
from train_offhand import answer, question, said

from sharpen.core.attempt import Attempt
from sharpen.core.seeds import random_for
from sharpen.core.task import Message, Role, Task
from sharpen.curation.asked_again import asked_again
from sharpen.learners.batch import Example, example_from
from sharpen.models.hf import HFModel

REQUEST, YES, NO = "right?", "yes", "no, "
MISLED = 0.3
"""Share of the words that name a wrong number."""
SILENT = 0.4
"""Share of second answers that are asked for without a word."""


def criticism(rng: random.Random, task: Task) -> Attempt:
    """What is said of a first answer."""
    first = said(rng, task)
    spoken = Message(role=Role.ASSISTANT, content=first)
    asked = Message(role=Role.USER, content=REQUEST)
    right = first.splitlines()[0] == f"#### {task.answer}"
    words = YES if right else f"{NO}{task.answer}"
    return answer(task.model_copy(update={"messages": (*task.messages, spoken, asked)}), words)


def second(rng: random.Random, task: Task) -> Attempt:
    """A second answer: the number that was said, or without a word the first answer again."""
    first = said(rng, task)
    if rng.random() < SILENT:
        return answer(asked_again(task, first), first)
    off = rng.choice((-10, -3, -2, -1, 1, 2, 3, 10)) if rng.random() < MISLED else 0
    number = abs(int(task.answer) + off)
    steps = first.split("\n", 1)[1]
    return answer(asked_again(task, first, feedback=f"{NO}{number}"), f"#### {number}\n{steps}")


def example(seed: int, place: int, model: HFModel) -> Example:
    """The example at a place of the training data."""
    rng = random_for("mender", seed, place)
    task = question(rng)
    match place % 3:
        case 0:
            return example_from(answer(task, task.solution or ""), model)
        case 1:
            return example_from(criticism(rng, task), model)
        case _:
            return example_from(second(rng, task), model)


def main() -> None:
    """Train, then write the folder in half precision."""
    make("mender", __doc__, Plan(steps=300, batch=32, lr=1e-3, warmup=30), shipped("offhand"), example)


if __name__ == "__main__":
    main()
