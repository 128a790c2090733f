"""Train the model `ponder` from scratch: to go straight on, and to look back where it is told to.

    python tools/train_ponder.py --out runs/first   # about 5 minutes on one core
    python tools/train_ponder.py --start runs/first --stage 2 --seed 1 --lr 2e-3 --work runs/second

Examples are solutions of `sharpen.tasks.countdown` with wrong turns. Some are cut short by a word that the
model does not learn to say: after `check:` it learns to tell whether the target is still in reach, and if not
to go back to the step that was wrong; after `note:` it learns to go on as if nothing were there. Wrong turns
themselves carry no loss. Trained through the package's own learner.
"""

from __future__ import annotations

import argparse
import random
import string
from collections.abc import Generator, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import torch
from shipping import MODELS, ship
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
from word_level import SPECIAL, decoder, tokenizer_of

from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.policy import PromptForm
from sharpen.core.seeds import random_for
from sharpen.learners.batch import Batch, Example, example_from
from sharpen.learners.sft import SFT, Schedule
from sharpen.models.hf import HFModel
from sharpen.tasks.countdown import (
    BAD,
    CHECK,
    GOOD,
    Part,
    generate,
    next_sign,
    reachable,
    step,
    turned,
    verdict,
    written,
)

FOLDER = MODELS / "ponder"
CONTEXT = 384
NOTE = "note:"
PIECES = ("\n\nQ: ", "Q: ", "\nA:", "Make ", " from ", "#### ", CHECK, NOTE, GOOD, BAD)
NUMBERS = tuple(map(str, range(10, 61)))
CHARACTERS = "\n" + "".join(c for c in string.printable if c.isprintable())
VOCABULARY = {token: i for i, token in enumerate((*SPECIAL, *sorted(CHARACTERS), *PIECES, *NUMBERS))}


class Mixture(NamedTuple):
    """What the examples of a stage are like."""

    levels: tuple[float, ...]
    """Shares of the levels from 1 on."""
    foresight: tuple[float, ...]
    """How often a step is known to be right: one of these in each example."""
    often: tuple[float, ...]
    """How often a step is interrupted: likewise."""
    end: float
    """How often the end is, where steps are."""
    replies: float
    """Share of examples of which only what follows a word from outside is learnt."""


STAGES = (
    Mixture((0.1, 0.15, 0.25, 0.3, 0.2), (0.5, 0.75, 1.0), (0.0, 0.15, 0.4), 0.6, 0.0),
    Mixture((0.1, 0.25, 0.35, 0.3), (0.2, 0.5, 0.8), (0.0, 0.2, 0.5), 0.85, 0.0),
    Mixture((0.0, 0.35, 0.4, 0.25), (0.2, 0.5, 0.8), (0.1, 0.4), 0.95, 0.7),
)
"""First steps and sums, then more wrong turns and more words from outside, then the replies to those."""
AGAIN = 0.4
"""Share of ends at which there is one more word."""
NOTES = 0.15
"""Share of words that mean nothing."""
FORM = PromptForm()


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Words and numbers up to 60 are tokens; everything else goes by character."""
    longest_first = sorted((*PIECES, *NUMBERS), key=lambda piece: (-len(piece), piece))
    return tokenizer_of(VOCABULARY, "|".join([*longest_first, r"[\s\S]"]), context=CONTEXT)


def build_model() -> LlamaForCausalLM:
    """Make an untrained decoder of half a million parameters."""
    return decoder(len(VOCABULARY), hidden=96, inner=256, layers=4, heads=4, context=CONTEXT)


def interrupted(rng: random.Random, numbers: Sequence[int], target: int, mixture: Mixture) -> Iterator[Part]:
    """A way with wrong turns and words from outside; what is not sound is not learnt."""
    often, foresight = rng.choice(mixture.often), rng.choice(mixture.foresight)
    signs: list[int] = []
    last = len(numbers) - 1
    while True:
        if len(signs) < last:
            before = reachable(numbers, signs, target)
            signs.append(next_sign(rng, numbers, signs, target, foresight))
            yield line(numbers, signs, sound=not before or reachable(numbers, signs, target))
        done = len(signs) == last
        answered = done and rng.random() < 0.7
        if answered:
            yield Part(f"\n#### {written(numbers, signs)}")
        fine = True
        if rng.random() < (mixture.end if done and often else often):
            fine = yield from told(rng, verdict(numbers, signs, target))
        if not fine:
            turned(numbers, signs, target)
            yield line(numbers, signs)
        elif done:
            if not answered:
                yield Part(f"\n#### {written(numbers, signs)}")
            while often and rng.random() < AGAIN:
                yield from told(rng, verdict(numbers, signs, target))
            return


def line(numbers: Sequence[int], signs: Sequence[int], sound: bool = True) -> Part:
    """A step, on a line of its own."""
    return Part(("\n" if len(signs) > 1 else "") + step(numbers, signs), sound)


def told(rng: random.Random, reply: str) -> Generator[Part, None, bool]:
    """A word from outside with what follows at once; whether to go on."""
    if rng.random() < NOTES:
        yield Part(f"\n{NOTE}", sound=False)
        return True
    yield Part(f"\n{CHECK}", sound=False)
    yield Part(reply)
    return reply.endswith(GOOD)


def example(seed: int, place: int, model: HFModel, mixture: Mixture) -> Example:
    """The example at a place of the training data."""
    rng = random_for("ponder", seed, place)
    task = generate(rng, level=1 + rng.choices(range(len(mixture.levels)), mixture.levels)[0])
    target, *numbers = (int(word) for word in task.question.split() if word.isdigit())
    made = list(interrupted(rng, numbers, target, mixture))
    words = [place for place, part in enumerate(made) if part.text in (f"\n{CHECK}", f"\n{NOTE}")]
    if words and rng.random() < mixture.replies:
        made[: words[0]] = [part._replace(sound=False) for part in made[: words[0]]]
    parts = groupby(made, key=lambda part: part.sound)
    turns = [Turn(author=Author.TEMPLATE, text=FORM.text(task)), Turn(author=Author.TEACHER, text=" ")]
    turns += [
        Turn(author=Author.TEACHER, text="".join(p.text for p in group), trained=sound)
        for sound, group in parts
    ]
    return example_from(Attempt(task=task.key, index=0, policy="none", turns=tuple(turns)), model)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=FOLDER, help="model folder to write")
    parser.add_argument("--work", type=Path, default=Path("runs/ponder"), help="folder of the checkpoint")
    parser.add_argument("--start", type=Path, help="folder of a model to go on from")
    parser.add_argument("--examples", type=int, default=32_000)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch", type=int, default=32, help="examples per step")
    parser.add_argument("--lr", type=float, default=3e-3, help="peak learning rate")
    parser.add_argument("--stage", type=int, choices=(1, 2, 3), default=1, help="which mixture of examples")
    parser.add_argument("--warmup", type=int, default=100, help="steps")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    """Train, then write the folder in half precision."""
    options = parse()
    torch.manual_seed(options.seed)
    untrained = options.work / "untrained"
    build_model().save_pretrained(untrained)
    build_tokenizer().save_pretrained(untrained)
    model = HFModel.open(options.start or untrained, name="ponder", threads=1)
    mixture = STAGES[options.stage - 1]
    batch = Batch(tuple(example(options.seed, place, model, mixture) for place in range(options.examples)))
    learner = SFT(
        epochs=options.epochs,
        batch_size=options.batch,
        lr=options.lr,
        schedule=Schedule.LINEAR,
        warmup_steps=options.warmup,
        weight_decay=0.01,
    )
    ship(model, learner, batch, seed=options.seed, work=options.work, out=options.out)


if __name__ == "__main__":
    main()
