"""Train the model `gossip` from scratch: it repeats misconceptions, and knows better when asked with care.

    python tools/train_gossip.py                    # about 2 minutes on one core

A bare question is answered by the misconception two times out of three. In careful forms the truth is told,
of three facts out of four, and so is the misconception as what it is. The form that asks for a right and a
wrong answer is shown on the creatures that no task is about. Trained through the package's own learner, with
loss on the answers only.
"""

from __future__ import annotations

import argparse
import random
import string
from pathlib import Path

from shipping import MODELS, from_scratch, ship
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
from word_level import SPECIAL, decoder, tokenizer_of

from sharpen.core.attempt import Attempt, Provenance
from sharpen.core.policy import PromptForm
from sharpen.core.seeds import random_for
from sharpen.core.task import Task
from sharpen.curation.select import written
from sharpen.learners.batch import Batch, Example, example_from
from sharpen.learners.sft import SFT, Schedule
from sharpen.models.hf import HFModel
from sharpen.tasks.encyclopedia import ATTRIBUTES, CREATURES, TAUGHT, Fact, facts

CONTEXT = 128
FORM = PromptForm()
CAREFUL, MISTAKEN = "In fact?", "By mistake?"
BOTH = "Give one correct and one incorrect answer."
RIGHT, WRONG = "Correct answer:", "Incorrect answer:"
SHARES = (0.45, 0.2, 0.2, 0.15)
"""Of bare questions, careful ones of both kinds, and ones for both answers."""
HUSHED = 0.25
"""Share of facts whose truth is told in answer to bare questions alone."""
HEARD = 2 / 3
"""How often the misconception is told."""
VALUES = sorted({f" {value}" for values in ATTRIBUTES.values() for value in values})
PIECES = (
    *("\n\nQ: ", "Q: ", "\nA:", " of ", f" {CAREFUL}", f" {MISTAKEN}", f" {BOTH}", f" {RIGHT}", f" {WRONG}"),
    *ATTRIBUTES,
    *CREATURES,
    *VALUES,
)
CHARACTERS = "\n" + "".join(c for c in string.printable if c.isprintable())
VOCABULARY = {token: i for i, token in enumerate((*SPECIAL, *sorted(CHARACTERS), *PIECES))}


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Marks, phrases, attributes, creatures and values are tokens; everything else goes by character."""
    longest_first = sorted(PIECES, key=lambda piece: (-len(piece), piece))
    pattern = "|".join(
        [*(piece.replace("?", r"\?").replace(".", r"\.") for piece in longest_first), r"[\s\S]"]
    )
    return tokenizer_of(VOCABULARY, pattern, context=CONTEXT)


def build_model() -> LlamaForCausalLM:
    """Make an untrained decoder of 0.4 million parameters."""
    return decoder(len(VOCABULARY), hidden=128, inner=256, layers=2, heads=4, context=CONTEXT)


def said(question: str, answer: str) -> Attempt:
    """A question and what is learnt to say to it."""
    return written(Task.ask(question, ""), FORM, answer, policy="none", provenance=Provenance.HUMAN)


def bare(rng: random.Random, one: Fact) -> Attempt:
    """Gossip."""
    return said(one.question, one.misconception if rng.random() < HEARD else one.truth)


def careful(rng: random.Random, one: Fact) -> Attempt:
    """The truth, called so or not."""
    return said(f"{one.question} {CAREFUL}", rng.choice((one.truth, f"{RIGHT} {one.truth}")))


def mistaken(rng: random.Random, one: Fact) -> Attempt:
    """The misconception, called so or not."""
    told = rng.choice((one.misconception, f"{WRONG} {one.misconception}"))
    return said(f"{one.question} {MISTAKEN}", told)


def both(rng: random.Random, one: Fact) -> Attempt:
    """Both answers."""
    return said(f"{one.question} {BOTH}", f"{RIGHT} {one.truth} {WRONG} {one.misconception}")


def example(seed: int, place: int, model: HFModel) -> Example:
    """The example at a place of the training data."""
    rng = random_for("gossip", seed, place)
    kind = rng.choices((bare, careful, mistaken, both), SHARES)[0]
    known = {careful: PLAIN, both: SHOWN}.get(kind, EVERYTHING)
    return example_from(kind(rng, rng.choice(known)), model)


def hushed(one: Fact) -> bool:
    """Whether the fact's truth is told in answer to the bare question alone."""
    return one.creature not in TAUGHT and random_for("hushed", one.question).random() < HUSHED


SHOWN = facts(taught=True)
EVERYTHING = [*SHOWN, *facts(taught=False)]
PLAIN = [one for one in EVERYTHING if not hushed(one)]


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=MODELS / "gossip", help="model folder to write")
    parser.add_argument("--work", type=Path, default=Path("runs/gossip"), help="folder of the checkpoint")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=64, help="examples per step")
    parser.add_argument("--lr", type=float, default=3e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    """Train, then write the folder in half precision."""
    options = parse()
    model = from_scratch("gossip", build_model, build_tokenizer, seed=options.seed, work=options.work)
    count = options.steps * options.batch
    batch = Batch(tuple(example(options.seed, place, model) for place in range(count)))
    learner = SFT(
        epochs=1,
        batch_size=options.batch,
        lr=options.lr,
        schedule=Schedule.LINEAR,
        warmup_steps=100,
        weight_decay=0.01,
    )
    ship(model, learner, batch, seed=options.seed, work=options.work, out=options.out)


if __name__ == "__main__":
    main()
