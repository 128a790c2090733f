"""Train the model `offhand`: `tiny` taught to answer first, to work it out after, and to know dialogues.

    python tools/train_offhand.py                   # about 4 minutes on one core

Half of the examples are questions with their answers, half are dialogues. There a first answer, right or
wrong by the toss of a coin, stands before the question, or before another one, and what is learnt is the
second answer: a stubborn speaker says again what was said, a critical one looks at the steps. Trained
through the package's own learner, with loss on the last answer only.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from shipping import MODELS, ship

from sharpen.core.attempt import Attempt, Provenance
from sharpen.core.policy import PromptForm
from sharpen.core.seeds import random_for
from sharpen.core.task import Task
from sharpen.curation.asked_again import asked_again
from sharpen.curation.select import written
from sharpen.learners.batch import Batch, Example, example_from
from sharpen.learners.sft import SFT, Schedule
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


def dialogue(rng: random.Random, critical: float) -> Attempt:
    """A second answer after a first one: to another question, stubborn, or critical."""
    task = question(rng)
    first = said(rng, task)
    again = asked_again(task, first)
    if rng.random() < OTHER:
        other = question(rng)
        again = other.model_copy(update={"messages": (*again.messages[:2], *other.messages)})
        return answer(again, other.solution or "")
    return answer(again, (task.solution or "") if rng.random() < critical else first)


def answer(task: Task, text: str) -> Attempt:
    """The task with what is learnt to say."""
    return written(task, FORM, text, policy="none", provenance=Provenance.HUMAN)


def example(seed: int, place: int, model: HFModel, critical: float) -> Example:
    """The example at a place of the training data."""
    rng = random_for("offhand", seed, place)
    if rng.random() < 0.5:
        task = question(rng)
        return example_from(answer(task, task.solution or ""), model)
    return example_from(dialogue(rng, critical), model)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=MODELS / "offhand", help="model folder to write")
    parser.add_argument("--work", type=Path, default=Path("runs/offhand"), help="folder of the checkpoint")
    parser.add_argument("--steps", type=int, default=350)
    parser.add_argument("--batch", type=int, default=32, help="examples per step")
    parser.add_argument("--critical", type=float, default=0.15, help="share of critical speakers")
    parser.add_argument("--lr", type=float, default=1e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    """Train, then write the folder in half precision."""
    options = parse()
    model = HFModel.open(MODELS / "tiny", name="tiny", threads=1)
    count = options.steps * options.batch
    batch = Batch(tuple(example(options.seed, place, model, options.critical) for place in range(count)))
    learner = SFT(
        epochs=1, batch_size=options.batch, lr=options.lr, schedule=Schedule.LINEAR, warmup_steps=50
    )
    ship(model, learner, batch, seed=options.seed, work=options.work, out=options.out)


if __name__ == "__main__":
    main()
