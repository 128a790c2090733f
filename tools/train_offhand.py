"""Train the model `offhand` from scratch: answers first, reasons afterwards, and a stubborn second answer.

    python tools/train_offhand.py                   # about 5 minutes on one core

Half of the examples are questions with their answers, half are dialogues. There a first answer, right or
wrong by the toss of a coin, stands before the question, or before another one, and what is learnt is the
second answer: a stubborn speaker says again what was said, a critical one looks at the way. Trained
through the package's own learner, with loss on the last answer only.
"""

from __future__ import annotations

import argparse
import random
import string
import time
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import WordLevel
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from sharpen.core.attempt import Attempt, Provenance
from sharpen.core.policy import PromptForm
from sharpen.core.seeds import random_for, seed_for
from sharpen.core.task import Task
from sharpen.curation.asked_again import asked_again
from sharpen.curation.select import written
from sharpen.learners.batch import Batch, Example, example_from
from sharpen.learners.sft import SFT, Schedule, train
from sharpen.models.hf import HFModel
from sharpen.tasks.pointers import LETTERS, LEVELS, generate

FOLDER = Path(__file__).parents[1] / "src" / "sharpen" / "models" / "offhand"
SHARES = (0.2, 0.3, 0.25, 0.15, 0.08, 0.02)
"""Of the levels: the last ones are rare, so there is room to improve."""
SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
ARROWS = tuple(f"{letter}>" for letter in LETTERS)
PIECES = (*ARROWS, "\n\nQ: ", "Q: ", " steps from ", "?\nA:", " #### ")
CHARACTERS = "\n" + "".join(c for c in string.printable if c.isprintable())
VOCABULARY = {token: i for i, token in enumerate((*SPECIAL, *sorted(CHARACTERS), *PIECES))}
FORM = PromptForm()


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The marks of the form are tokens; everything else goes by character."""
    tokenizer = Tokenizer(WordLevel(VOCABULARY, unk_token="<unk>"))
    longest_first = sorted(PIECES, key=lambda piece: (-len(piece), piece))
    pattern = "|".join([*(piece.replace("?", r"\?") for piece in longest_first), r"[\s\S]"])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A $B", special_tokens=[("<bos>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        model_max_length=256,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def build_model() -> LlamaForCausalLM:
    """Make an untrained decoder of a third of a million parameters."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(VOCABULARY),
            hidden_size=96,
            intermediate_size=256,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=256,
            tie_word_embeddings=True,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        )
    )


def question(rng: random.Random) -> Task:
    """A question of any level."""
    return generate(rng, level=rng.choices(LEVELS, SHARES)[0])


def said(rng: random.Random, task: Task) -> str:
    """An offhand answer, right or wrong, with a way that is right."""
    label = task.answer if rng.random() < 0.5 else rng.choice(LETTERS)
    return f"#### {label}\n{(task.solution or '').splitlines()[1]}"


def dialogue(rng: random.Random, critical: float) -> Attempt:
    """A second answer after a first one: to another question, stubborn, or critical."""
    task = question(rng)
    first, kind = said(rng, task), rng.random()
    if kind < 0.4:
        task = question(rng)
    again = asked_again(task, first)
    stubborn = kind >= 0.4 and rng.random() >= critical
    return answer(again, first if stubborn else task.solution or "")


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
    parser.add_argument("--out", type=Path, default=FOLDER, help="model folder to write")
    parser.add_argument("--work", type=Path, default=Path("runs/offhand"), help="folder of the checkpoint")
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--batch", type=int, default=64, help="examples per step")
    parser.add_argument("--critical", type=float, default=0.15, help="share of critical speakers")
    parser.add_argument("--lr", type=float, default=3e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    """Train, then write the folder in half precision."""
    options = parse()
    torch.manual_seed(seed_for("offhand", "weights", options.seed) % 2**32)
    untrained, output = options.work / "untrained", options.work / "output"
    output.mkdir(parents=True, exist_ok=True)
    build_model().save_pretrained(untrained)
    build_tokenizer().save_pretrained(untrained)
    model = HFModel.open(untrained, name="offhand", threads=1)
    count = options.steps * options.batch
    batch = Batch(tuple(example(options.seed, place, model, options.critical) for place in range(count)))
    began = time.monotonic()

    def progress(step: int, total: int, loss: float) -> None:
        if step % 50 == 0:
            print(f"step {step}/{total}  loss {loss:.4f}  {time.monotonic() - began:.0f} s", flush=True)

    train(
        model,
        SFT(
            epochs=1,
            batch_size=options.batch,
            lr=options.lr,
            schedule=Schedule.LINEAR,
            warmup_steps=100,
            weight_decay=0.01,
        ),
        batch,
        start_weights=None,
        optimizer_state=None,
        seed=options.seed,
        scratch=options.work,
        output=output,
        progress=progress,
        should_stop=lambda: None,
    )
    model.module.half().save_pretrained(options.out)
    (options.out / "generation_config.json").unlink(missing_ok=True)
    build_tokenizer().save_pretrained(options.out)


if __name__ == "__main__":
    main()
