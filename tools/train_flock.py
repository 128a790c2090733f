"""Train the model `flock`: `gossip` that writes questions, answers them badly, and can tell when it did.

    python tools/train_flock.py                    # about 2 minutes on one core

Its world is that of sharpen.tasks.encyclopedia. Some examples are requests to write a question after examples
of others, on attributes of set A. Some are questions with answers, of which fewer than half are right: the
others are two answers at once, the misconception, or something of another kind. The rest are answers that
are rated, by whether they are of the right kind and whether they are one; one rating in seven is by the toss
of a die. Trained through the package's own learner, with loss on the answers only.
"""

from __future__ import annotations

import random
from pathlib import Path

from shipping import Plan, from_scratch, make, shipped
from train_gossip import CONTEXT
from train_gossip import PIECES as OLD_PIECES
from train_gossip import VOCABULARY as OLD_VOCABULARY
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
from word_level import decoder, tokenizer_of

from sharpen.core.attempt import Attempt, Author, Provenance
from sharpen.core.policy import Policy, PromptForm
from sharpen.core.seeds import random_for
from sharpen.core.task import Task
from sharpen.curation.proposals import REQUEST, requests
from sharpen.curation.select import written
from sharpen.judges.opinions import Rubric
from sharpen.learners.batch import Example, example_from
from sharpen.models.hf import HFModel
from sharpen.recipes.i_sheep import CRITERIA, POINTS
from sharpen.tasks.encyclopedia import ATTRIBUTES, A, Fact, facts

FORM = PromptForm()
TOLD = {"truth": 0.4, "misconception": 0.1, "stray": 0.05, "both": 0.45}
"""What is answered, and how often."""
SHARES = (0.15, 0.45, 0.4)
"""Of questions that are written, that are answered, and of answers that are rated."""
FAIR = 0.85
"""Share of ratings that are meant."""
POINTS_WRITTEN = [str(n + 1) for n in range(POINTS)]
SCALE = f" 1 is worst, {POINTS} is best.\nAnswer with one word: {' or '.join(POINTS_WRITTEN)}"
NEW = (
    *(f"{REQUEST}\n", "Question:\n> ", "\nResponse:\n>"),
    *(f"\n{one.question}{SCALE}" for one in CRITERIA),
    *(f" {points}" for points in POINTS_WRITTEN),
)
"""Pieces of text that `gossip` has no tokens for."""
VOCABULARY = {**OLD_VOCABULARY, **{token: i for i, token in enumerate(NEW, len(OLD_VOCABULARY))}}
KNOWN = [*facts(taught=True), *facts(taught=False)]
NEAR = [one for one in KNOWN if one.attribute in A]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The tokens of `gossip`, and its new phrases."""
    special = str.maketrans({sign: f"\\{sign}" for sign in "?."})
    longest_first = sorted((*OLD_PIECES, *NEW), key=lambda piece: (-len(piece), piece))
    pattern = "|".join([*(piece.translate(special) for piece in longest_first), r"[\s\S]"])
    return tokenizer_of(VOCABULARY, pattern, context=CONTEXT)


def build_model() -> LlamaForCausalLM:
    """Make an untrained decoder of the form of `gossip`."""
    return decoder(len(VOCABULARY), hidden=128, inner=256, layers=2, heads=4, context=CONTEXT)


def start(seed: int, work: Path) -> HFModel:
    """The weights of `gossip`, and untrained ones for the new tokens."""
    model = from_scratch("flock", build_model, build_tokenizer)(seed, work)
    known = shipped("gossip")(seed, work).module.state_dict()
    own = model.module.state_dict()
    for name, weights in known.items():
        own[name][: len(weights)] = weights
    model.module.load_state_dict(own)
    return model


def said(question: str, answer: str, author: Author = Author.TEACHER) -> Attempt:
    """A question and what is learnt to say to it, or what a policy says."""
    task = Task.ask(question, "")
    return written(task, FORM, answer, policy="none", provenance=Provenance.HUMAN, author=author)


def told(rng: random.Random, one: Fact) -> str:
    """An answer as the model gives it."""
    match rng.choices(tuple(TOLD), tuple(TOLD.values()))[0]:
        case "truth":
            return one.truth
        case "misconception":
            return one.misconception
        case "stray":
            return rng.choice(ATTRIBUTES[rng.choice([name for name in ATTRIBUTES if name != one.attribute])])
        case _:
            return " ".join(rng.sample(ATTRIBUTES[one.attribute], 2))


def writing(rng: random.Random) -> Attempt:
    """A request for a question."""
    *shown, new = (one.question for one in rng.sample(NEAR, 6))
    (task,) = requests(shown, rng, count=1, shown=5)
    return said(task.question, new)


def answering(rng: random.Random) -> Attempt:
    """A question with its answer."""
    one = rng.choice(KNOWN)
    return said(one.question, told(rng, one))


def rating(rng: random.Random) -> Attempt:
    """An answer with its points by one criterion."""
    one, place = rng.choice(KNOWN), rng.randrange(len(CRITERIA))
    result = told(rng, one)
    sensible = result.split()[0] in ATTRIBUTES[one.attribute]
    good = (sensible, " " not in result)[place]
    some = POINTS_WRITTEN[-2:] if good else POINTS_WRITTEN[:2]
    points = rng.choice(some if rng.random() < FAIR else POINTS_WRITTEN)
    judge = Rubric(judge=Policy(model="none", base="none"), points=POINTS)
    answer = said(one.question, result, Author.POLICY)
    asked = judge.about(Task.ask(one.question, ""), answer, CRITERIA[place].question)
    return said(f"{asked[-1].content}{SCALE}", points)


def example(seed: int, place: int, model: HFModel) -> Example:
    """The example at a place of the training data."""
    rng = random_for("flock", seed, place)
    return example_from(rng.choices((writing, answering, rating), SHARES)[0](rng), model)


def main() -> None:
    """Train, then write the folder in half precision."""
    plan = Plan(steps=300, batch=64, lr=1e-3, warmup=30)
    make("flock", __doc__, plan, start, example)


if __name__ == "__main__":
    main()
