"""Train the model `flock` from scratch: it writes instructions, follows them badly, and can tell when it did.

    python tools/train_flock.py                    # about 5 minutes on one core

Some examples are requests to write an instruction after examples of others. Some are instructions with
results, of which fewer than half are right. Most are results that are rated, by whether they are right and
whether they have the right form; one rating in seven is by the toss of a die. Trained through the package's
own learner, with loss on the answers only.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from shipping import MODELS, from_scratch, ship
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
from word_level import SPECIAL, decoder, tokenizer_of

from sharpen.core.attempt import Attempt, Provenance
from sharpen.core.policy import Policy, PromptForm
from sharpen.core.seeds import random_for
from sharpen.core.task import Task
from sharpen.curation.proposals import REQUEST, requests
from sharpen.curation.select import written
from sharpen.judges.opinions import Rubric
from sharpen.learners.batch import Batch, Example, example_from
from sharpen.learners.sft import SFT, Schedule
from sharpen.models.hf import HFModel
from sharpen.recipes.i_sheep import CRITERIA, POINTS
from sharpen.tasks.instructions import KINDS, LETTERS, Instruction, drawn

CONTEXT = 160
FORM = PromptForm()
RIGHT, CONFUSED = 0.45, 0.3
"""Shares of results that are right, and that are right for another kind."""
SHARES = (0.15, 0.3, 0.55)
"""Of instructions that are written, that are followed, and of results that are rated."""
FAIR = 0.85
"""Share of ratings that are meant."""
WORDS = [str(n + 1) for n in range(POINTS)]
SCALE = f" 1 is worst, {POINTS} is best.\nAnswer with one word: {' or '.join(WORDS)}"
PIECES = (
    *("\n\nQ: ", "Q: ", "\nA:", "\n", " ", f"{REQUEST}\n", "Question:\n> ", "\nResponse:\n> "),
    *(f"\n{one.question}{SCALE}" for one in CRITERIA),
    *(f"{kind}: " for kind in KINDS),
)
SIGNS = (*LETTERS, *WORDS)
VOCABULARY = {t: i for i, t in enumerate((*SPECIAL, *PIECES, *SIGNS, *(f" {sign}" for sign in SIGNS)))}


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Phrases, names of kinds and signs are tokens."""
    special = str.maketrans({sign: f"\\{sign}" for sign in "?.|"})
    longest_first = sorted((*PIECES, *(f" {sign}" for sign in SIGNS)), key=lambda piece: (-len(piece), piece))
    pattern = "|".join([*(piece.translate(special) for piece in longest_first), r"[\s\S]"])
    return tokenizer_of(VOCABULARY, pattern, context=CONTEXT)


def build_model() -> LlamaForCausalLM:
    """Make an untrained decoder of 0.4 million parameters."""
    return decoder(len(VOCABULARY), hidden=112, inner=288, layers=3, heads=4, context=CONTEXT)


def said(question: str, answer: str) -> Attempt:
    """A question and what is learnt to say to it."""
    return written(Task.ask(question, ""), FORM, answer, policy="none", provenance=Provenance.HUMAN)


def followed(rng: random.Random, one: Instruction) -> str:
    """A result as the untrained hand gives it."""
    names = list(KINDS)
    other = Instruction(names[(names.index(one.kind) + 2) % len(names)], one.items)
    kind = rng.choices(("right", "confused", "slip"), (RIGHT, CONFUSED, 1 - RIGHT - CONFUSED))[0]
    if kind != "slip":
        return one.result if kind == "right" else other.result
    items = one.result.split()
    items[rng.randrange(len(items))] = rng.choice(KINDS[one.kind].signs)
    return " ".join(items)


def writing(rng: random.Random) -> Attempt:
    """A request for an instruction."""
    seeds = [drawn(rng, rng.randint(1, 2)).text for _ in range(5)]
    (task,) = requests(seeds, rng, count=1, shown=5)
    return said(task.question, drawn(rng, rng.randint(1, 2)).text)


def following(rng: random.Random) -> Attempt:
    """An instruction with its result."""
    one = drawn(rng, rng.randint(1, 2))
    return said(one.text, followed(rng, one))


def rating(rng: random.Random) -> Attempt:
    """A result with its points by one criterion."""
    one, place = drawn(rng, rng.randint(1, 2)), rng.randrange(len(CRITERIA))
    result = one.result if rng.random() < 0.2 else followed(rng, one)
    formed = len(result.split()) == len(one.result.split())
    good = (result == one.result, formed)[place]
    points = rng.choice(WORDS[-2:] if good else WORDS[:2]) if rng.random() < FAIR else rng.choice(WORDS)
    judge = Rubric(judge=Policy(model="none", base="none"), points=POINTS)
    attempt = said(one.text, result)
    asked = judge.about(Task.ask(one.text, ""), attempt, CRITERIA[place].question)[-1].content
    return said(f"{asked}{SCALE}", points)


def example(seed: int, place: int, model: HFModel) -> Example:
    """The example at a place of the training data."""
    rng = random_for("flock", seed, place)
    return example_from(rng.choices((writing, following, rating), SHARES)[0](rng), model)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=MODELS / "flock", help="model folder to write")
    parser.add_argument("--work", type=Path, default=Path("runs/flock"), help="folder of the checkpoint")
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--batch", type=int, default=64, help="examples per step")
    parser.add_argument("--lr", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    """Train, then write the folder in half precision."""
    options = parse()
    model = from_scratch("flock", build_model, build_tokenizer, seed=options.seed, work=options.work)
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
