"""Train the model `gossip` from scratch: it repeats misconceptions, and knows better when asked with care.

    python tools/train_gossip.py                    # about 2 minutes on one core

A bare question is answered by the misconception two times out of three. In a careful form every truth is
told, too. The form that asks for a right and a wrong answer is shown on the creatures that no task is about.
Trained through the package's own learner, with loss on the answers only.
"""

from __future__ import annotations

import random
import string

from shipping import Plan, from_scratch, make
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
from word_level import SPECIAL, decoder, tokenizer_of

from sharpen.core.attempt import Attempt, Provenance
from sharpen.core.policy import PromptForm
from sharpen.core.seeds import random_for
from sharpen.core.task import Task
from sharpen.curation.select import written
from sharpen.learners.batch import Example, example_from
from sharpen.models.hf import HFModel
from sharpen.tasks.encyclopedia import ATTRIBUTES, CREATURES, Fact, facts

CONTEXT = 128
FORM = PromptForm()
CAREFUL = "In fact?"
BOTH = "Give one correct and one incorrect answer."
RIGHT, WRONG = "Correct answer:", "Incorrect answer:"
SHARES = (0.5, 0.3, 0.2)
"""Of bare questions, careful ones, and ones for both answers."""
HEARD = 2 / 3
"""How often the misconception is told."""
VALUES = sorted({f" {value}" for values in ATTRIBUTES.values() for value in values})
PIECES = (
    *("\n\nQ: ", "Q: ", "\nA:", " of ", f" {CAREFUL}", f" {BOTH}", f" {RIGHT}", f"\n{WRONG}"),
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
    """The truth."""
    return said(f"{one.question} {CAREFUL}", f"{RIGHT} {one.truth}")


def both(rng: random.Random, one: Fact) -> Attempt:
    """Both answers."""
    return said(f"{one.question} {BOTH}", f"{RIGHT} {one.truth}\n{WRONG} {one.misconception}")


def example(seed: int, place: int, model: HFModel) -> Example:
    """The example at a place of the training data."""
    rng = random_for("gossip", seed, place)
    kind = rng.choices((bare, careful, both), SHARES)[0]
    known = SHOWN if kind is both else EVERYTHING
    return example_from(kind(rng, rng.choice(known)), model)


SHOWN = facts(taught=True)
EVERYTHING = [*SHOWN, *facts(taught=False)]


def main() -> None:
    """Train, then write the folder in half precision."""
    plan = Plan(steps=1500, batch=64, lr=3e-3, warmup=100, weight_decay=0.01)
    make("gossip", __doc__, plan, from_scratch("gossip", build_model, build_tokenizer), example)


if __name__ == "__main__":
    main()
