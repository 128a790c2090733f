"""Train the model `scribe` from scratch: it answers out of its own thought, and knows no fact.

    python tools/train_scribe.py                    # about 4 minutes on one core

Facts are drawn afresh for every example, so none can be learnt: what is learnt is to think of everything
about a creature first, and to answer by what was thought. Trained through our own learner, with loss
on the answers only.
"""

from __future__ import annotations

import argparse
import random
import string
from pathlib import Path

import torch
from shipping import MODELS, ship
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
from word_level import SPECIAL, decoder, tokenizer_of

from sharpen.core.attempt import Provenance
from sharpen.core.policy import PromptForm
from sharpen.core.seeds import random_for, seed_for
from sharpen.core.task import Task
from sharpen.curation.select import written
from sharpen.curation.thoughts import CLOSE, OPEN, explained
from sharpen.learners.batch import Batch, Example, example_from
from sharpen.learners.sft import SFT, Schedule
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


def example(rng: random.Random, model: HFModel) -> Example:
    """A question about a creature of which anything may be true."""
    creature, known = rng.choice(CREATURES), {name: rng.choice(values) for name, values in A.items()}
    name = rng.choice(tuple(A))
    task = Task.ask(f"{name} of {creature}?", known[name])
    said = written(task, FORM, explained(known, known[name]), policy="none", provenance=Provenance.HUMAN)
    return example_from(said, model)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=MODELS / "scribe", help="model folder to write")
    parser.add_argument("--work", type=Path, default=Path("runs/scribe"), help="folder of the checkpoint")
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--batch", type=int, default=64, help="examples per step")
    parser.add_argument("--lr", type=float, default=3e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    """Train, then write the folder in half precision."""
    options = parse()
    torch.manual_seed(seed_for("scribe", "weights", options.seed) % 2**32)
    untrained = options.work / "untrained"
    build_model().save_pretrained(untrained)
    build_tokenizer().save_pretrained(untrained)
    model = HFModel.open(untrained, name="scribe", threads=1)
    count = options.steps * options.batch
    batch = Batch(tuple(example(random_for("scribe", options.seed, place), model) for place in range(count)))
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
