"""Train the model `scribe` from scratch: it answers out of its own thought, and knows no fact.

    python tools/train_scribe.py                    # about 4 minutes on one core

Facts are drawn afresh for every example, so none can be learnt: what is learnt is to think of everything
about a creature first, and to answer by what was thought. Trained through our own learner, with loss
on the answers only.
"""

from __future__ import annotations

import string

from shipping import Plan, from_scratch, make
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
from word_level import SPECIAL, decoder, tokenizer_of

from sharpen.core.attempt import Provenance
from sharpen.core.policy import PromptForm
from sharpen.core.seeds import random_for
from sharpen.core.task import Task
from sharpen.curation.select import written
from sharpen.curation.thoughts import CLOSE, OPEN, explained
from sharpen.learners.batch import Example, example_from
from sharpen.models.hf import HFModel
from sharpen.tasks.encyclopedia import CREATURES, A

CONTEXT = 128
FORM = PromptForm()
VALUES = sorted({f" {value}" for values in A.values() for value in values})
PIECES = (
    *("\n\nQ: ", "Q: ", "\nA:", " of ", "?", f" {OPEN}", f" {CLOSE}", ",", "\n#### "),
    *(piece for name in A for piece in (name, f" {name}")),
    *CREATURES,
    *VALUES,
    *(value.strip() for value in VALUES),
)
CHARACTERS = "\n" + "".join(c for c in string.printable if c.isprintable() and c not in "?,")
VOCABULARY = {token: i for i, token in enumerate((*SPECIAL, *sorted(CHARACTERS), *sorted(set(PIECES))))}


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Marks, phrases, attributes, creatures and values are tokens; everything else goes by character."""
    longest_first = sorted(set(PIECES), key=lambda piece: (-len(piece), piece))
    pattern = "|".join([*(piece.replace("?", r"\?") for piece in longest_first), r"[\s\S]"])
    return tokenizer_of(VOCABULARY, pattern, context=CONTEXT)


def build_model() -> LlamaForCausalLM:
    """Make an untrained decoder of 0.3 million parameters."""
    return decoder(len(VOCABULARY), hidden=112, inner=224, layers=2, heads=4, context=CONTEXT)


def example(seed: int, place: int, model: HFModel) -> Example:
    """A question about a creature of which anything may be true, at a place of the training data."""
    rng = random_for("scribe", seed, place)
    creature, known = rng.choice(CREATURES), {name: rng.choice(values) for name, values in A.items()}
    name = rng.choice(tuple(A))
    task = Task.ask(f"{name} of {creature}?", known[name])
    said = written(task, FORM, explained(known, known[name]), policy="none", provenance=Provenance.HUMAN)
    return example_from(said, model)


def main() -> None:
    """Train, then write the folder in half precision."""
    plan = Plan(steps=900, batch=64, lr=3e-3, warmup=100, weight_decay=0.01)
    make("scribe", __doc__, plan, from_scratch("scribe", build_model, build_tokenizer), example)


if __name__ == "__main__":
    main()
