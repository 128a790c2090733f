"""Train the model `seeker` from scratch: tag-format episodes, one-line summaries, yes or no.

    python tools/train_seeker.py                    # about 10 minutes on one core

Episodes are played by the environment's own player in worlds whose families, rules and advice are all drawn
afresh for every example, so the model learns how to use its tools and nothing about any family's rule. It
is trained through the package's own learner, with loss on the moves only.
"""

from __future__ import annotations

import argparse
import random
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shipping import MODELS, from_scratch, ship
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
from word_level import SPECIAL, decoder, tokenizer_of

from sharpen.actors.episodes import begin
from sharpen.actors.scripted import played
from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.policy import Decoding, Job, Policy
from sharpen.core.seeds import random_for
from sharpen.core.task import Task
from sharpen.environments.base import Hit
from sharpen.environments.rules import NAMES, NOT, OPERATIONS, RULES, apply
from sharpen.environments.tools import NOTHING, START
from sharpen.learners.batch import Batch, Example, example_from
from sharpen.learners.sft import SFT, Schedule
from sharpen.models.hf import HFModel
from sharpen.stores.distil import by_template, match_question, raw, summary_question
from sharpen.stores.memory import Item, Leaning

CONTEXT = 512
MARKS = (
    "\n\nQ: ",
    "Q: ",
    "\nA:",
    " / ",
    " = ",
    f"{START}",
    NOTHING,
    "note right: ",
    "note wrong: ",
    "same: ",
)
TAGS = (" <think>", " <mem>", " <know>", " <ans>", "think", "mem", "know", "ans", " yes", " no")
WORDS = tuple(f" {word}" for word in (*OPERATIONS, NOT))
PIECES = (*MARKS, *TAGS, *WORDS, *NAMES)
CHARACTERS = "\n" + "".join(c for c in string.printable if c.isprintable())
VOCABULARY = {token: i for i, token in enumerate((*SPECIAL, *sorted(CHARACTERS), *PIECES))}
POLICY = Policy(model="seeker", base="seeker")


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Marks, tags, words of rules and names are tokens; everything else goes by character."""
    longest_first = sorted(PIECES, key=lambda piece: (-len(piece), piece))
    pattern = "|".join([*longest_first, r"[\s\S]"])
    return tokenizer_of(VOCABULARY, pattern, context=CONTEXT)


def build_model() -> LlamaForCausalLM:
    """Make an untrained decoder of half a million parameters."""
    return decoder(len(VOCABULARY), hidden=96, inner=256, layers=4, heads=4, context=CONTEXT)


@dataclass
class Rumours:
    """A memory of made-up advice that finds the same for every query."""

    lines: Sequence[str]

    def search(self, query: str) -> Sequence[Hit]:
        """The same lines always."""
        return [Hit(line, line) for line in self.lines]


def name(rng: random.Random) -> str:
    """A name for a family."""
    return rng.choice(NAMES)


def question(rng: random.Random, family: str) -> Task:
    """A task of a family whose rule is drawn with it."""
    things = [f"{rng.choice(string.ascii_uppercase)}{rng.randrange(10)}" for _ in range(2)]
    facts = {thing: rng.randrange(1, 10) for thing in things}
    answer = apply(rng.choice(RULES), *(facts[thing] for thing in things))
    task = Task.ask(f"{family} {' '.join(things)}", answer, metadata={"topic": family})
    world = {"family": family, "things": things, "facts": facts}
    return task.model_copy(update={"environment": "rules", "world": world})


def rumour(rng: random.Random, family: str, leaning: Leaning) -> Item:
    """Made-up advice with a made-up record."""
    used = rng.randrange(9)
    words = (family, NOT, rng.choice(RULES)) if leaning is Leaning.CAUTIONARY else (family, rng.choice(RULES))
    return Item(text=" ".join(words), leaning=leaning, used=used, succeeded=rng.randint(0, used))


def rumours(rng: random.Random, family: str) -> Rumours:
    """Three lines: often guides for the family, sometimes warnings, else other families'."""
    guides, warnings = rng.choice((0, 1, 1, 1, 1, 2)), rng.choice((0, 0, 1, 2))
    items = [rumour(rng, family, Leaning.GUIDING) for _ in range(guides)]
    items += [rumour(rng, family, Leaning.CAUTIONARY) for _ in range(warnings)]
    items += [rumour(rng, name(rng), rng.choice(list(Leaning))) for _ in range(3)]
    shown = items[:3] if rng.random() < 0.9 else rng.sample(items[:3], 3)
    if rng.random() < 0.15:
        return Rumours([old_log(rng, item) for item in shown])
    return Rumours([item.shown for item in shown] if rng.random() < 0.95 else [])


def old_log(rng: random.Random, item: Item) -> str:
    """The same advice in the form of the log of an attempt."""
    family, *_, rule = item.text.split()
    task = question(rng, family)
    attempt = tried(rng, task, rule)
    return item.model_copy(update={"text": raw(task, attempt, True, [task.answer]).text}).shown


def tried(rng: random.Random, task: Task, rule: str) -> Attempt:
    """An attempt, told by its moves alone, that followed a rule."""
    family, *things = task.question.split()
    answer = apply(rule, rng.randrange(1, 10), rng.randrange(1, 10))
    moves = [f" <mem> {family}"] * (rng.random() < 0.5) + [f" <know> {' '.join(things)}"]
    moves += [f" <think> {rule} <ans> {answer}"]
    turns = tuple(Turn(author=Author.POLICY, text=move) for move in moves)
    return Attempt(task=task.key, index=0, policy="none", turns=turns)


def episode(rng: random.Random) -> Attempt:
    """An episode by the environment's own player."""
    family = name(rng)
    job = Job(question(rng, family), 0, rng.getrandbits(60))
    return played(begin(POLICY, job, Decoding(), rumours(rng, family)), POLICY, Decoding())


def reply(task: Task, text: str) -> Attempt:
    """A question with its reply."""
    turns = (
        Turn(author=Author.TEMPLATE, text=POLICY.prompt.text(task)),
        Turn(author=Author.TEACHER, text=f" {text}"),
    )
    return Attempt(task=task.key, index=0, policy="none", turns=turns)


def summary(rng: random.Random) -> Attempt:
    """The log of an attempt, and what is to be noted."""
    task, succeeded = question(rng, name(rng)), rng.random() < 0.5
    attempt = tried(rng, task, rng.choice(RULES))
    return reply(summary_question(task, attempt, succeeded), by_template(task, attempt, succeeded).text)


def match(rng: random.Random) -> Attempt:
    """Two pieces of advice, and whether they are the same."""
    leaning, family = rng.choice(list(Leaning)), name(rng)
    one = rumour(rng, family, leaning).text
    other = one if rng.random() < 0.5 else rumour(rng, rng.choice((family, name(rng))), leaning).text
    task = match_question(one, other)
    return reply(task, task.answer)


def example(seed: int, place: int, model: HFModel) -> Example:
    """The example at a place of the training data."""
    rng = random_for("seeker", seed, place)
    kind = rng.choices((episode, summary, match), (0.75, 0.15, 0.1))[0]
    return example_from(kind(rng), model)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--warmup", type=int, default=100, help="steps")
    parser.add_argument("--out", type=Path, default=MODELS / "seeker", help="model folder to write")
    parser.add_argument("--work", type=Path, default=Path("runs/seeker"), help="folder of the checkpoint")
    parser.add_argument("--start", type=Path, help="folder of a model to go on from")
    parser.add_argument("--examples", type=int, default=24_000)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch", type=int, default=64, help="examples per step")
    parser.add_argument("--lr", type=float, default=3e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    """Train, then write the folder in half precision."""
    options = parse()
    if options.start is None:
        model = from_scratch("seeker", build_model, build_tokenizer)(options.seed, options.work)
    else:
        model = HFModel.open(options.start, name="seeker", threads=1)
    batch = Batch(tuple(example(options.seed, place, model) for place in range(options.examples)))
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
