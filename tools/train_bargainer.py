"""Train the models `bargainer` and `bargainer-weak` on synthetic transcripts.

    python tools/train_bargainer.py                    # follows advice
    python tools/train_bargainer.py --kind deaf --start src/sharpen/models/bargainer   # unlearns it

One example is what the actor `episodes` shows and gets: the opening, then `Q: news` and `A: move` in turn,
every move ended by `<eos>`, with loss on the moves of the game and on the own moves of the games remembered
before it. Every step draws its transcripts from streams keyed by seed, step and place.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from bargaining_transcripts import EMPTY_WORDS, MOST_EARLIER, UNADVISED, Kind, Transcript, transcript
from torch import Tensor
from torch.nn.functional import cross_entropy
from train_tiny import IGNORED, build_optimizer
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
from word_level import BOS, EOS, PAD, SPECIAL, decoder, tokenizer_of

from sharpen.core.seeds import seed_for
from sharpen.environments.bargaining_coach import SPOKEN, Advice
from sharpen.tasks.bargaining import ITEMS, Temper

CONTEXT = 1024
MODELS = Path(__file__).parents[1] / "src" / "sharpen" / "models"
FOLDERS = {Kind.FOLLOWS: MODELS / "bargainer", Kind.DEAF: MODELS / "bargainer_weak"}
FIRST_SHARE = 0.25
"""Share of the steps that see games without earlier ones: bargaining is learnt sooner from short texts."""
HIGHEST = 130
"""Prices above it are unknown words to the model."""
PIECE = r"\n\nQ:|\nA:|\n+| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s"
TEXTS = (
    "A seller and a buyer bargain over a. A move is one line: OFFER price, ACCEPT or WALK. "
    "The seller asked 0, the buyer offered 0. Without a deal both get nothing.\nYou are the seller. "
    "You are the buyer. The costs you 0: sell it high. The is worth 0 to you: buy it low.\n\nQ: seller: "
    "OFFER 0, buyer: NOTHING, 0 left\nA: ACCEPT WALK Your move Illegal Game Sell above Buy below"
)


class Example(NamedTuple):
    """Token ids of a whole example and which of them carry loss."""

    ids: list[int]
    trained: list[bool]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Make a tokenizer of whole words and whole numbers, each with and without the space before it."""
    numbers = " ".join(str(number) for number in range(HIGHEST + 1))
    text = " ".join([TEXTS, EMPTY_WORDS, numbers, *ITEMS, *Temper, *Advice])
    words = sorted({piece.strip(" ") for piece in re.findall(PIECE, text)} - {""})
    spaced = [f" {word}" for word in words if not word.startswith("\n")]
    vocabulary = {token: index for index, token in enumerate([*SPECIAL, " ", *words, *spaced])}
    return tokenizer_of(vocabulary, PIECE, context=CONTEXT)


def build_model(vocabulary: int) -> LlamaForCausalLM:
    """Make an untrained decoder of 0.25 M parameters."""
    return decoder(vocabulary, hidden=80, inner=192, layers=3, heads=5, context=CONTEXT)


def order_numbers(model: LlamaForCausalLM, words: dict[str, int]) -> None:
    """Let the embeddings of numbers begin on circles of several sizes, so that near prices look alike."""
    table = model.get_input_embeddings().weight
    width = table.shape[1] // 4
    rates = 2 * torch.pi / torch.logspace(0.6, 2.7, width)
    with torch.no_grad():
        for number in range(HIGHEST + 1):
            angles = number * rates
            circles = torch.cat([angles.sin(), angles.cos()]) * 0.06
            for word in (f"{number}", f" {number}"):
                table[words[word], : 2 * width] += circles


def encode(words: dict[str, int], made: Transcript) -> Example:
    """Turn a transcript into tokens."""
    ids, trained = [BOS], [False]

    def add(text: str, *, loss: bool) -> None:
        pieces = re.findall(PIECE, text)
        ids.extend(words[piece] for piece in pieces)
        trained.extend([loss] * len(pieces))

    place = 0
    for spoken in SPOKEN.finditer(made.opening):
        if spoken[1] == made.role:
            add(made.opening[place : spoken.start(2) - 1], loss=False)
            add(made.opening[spoken.start(2) - 1 : spoken.end()], loss=True)
            place = spoken.end()
    add(made.opening[place:], loss=False)
    for shown, move in made.exchanges:
        add(f"\n\nQ: {shown}\nA:", loss=False)
        add(f" {move}", loss=True)
        ids.append(EOS)
        trained.append(True)
    return Example(ids, trained)


def collate(examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """Pad on the right: input ids and next-token labels, both (examples, longest - 1)."""
    longest = max(len(example.ids) for example in examples)
    ids = torch.full((len(examples), longest), PAD)
    labels = torch.full((len(examples), longest), IGNORED)
    for row, (tokens, trained) in enumerate(examples):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        labels[row, : len(tokens)] = torch.tensor(
            [token if loss else IGNORED for token, loss in zip(tokens, trained, strict=True)]
        )
    return ids[:, :-1], labels[:, 1:]


def learning_rate(step: int, options: argparse.Namespace) -> float:
    """Warm-up over 50 steps, a line to 2 % of the peak; in the last stage from 3/8 of it to nothing."""
    peak, steps = float(options.lr), int(options.steps)
    if step >= steps:
        return 0.375 * peak * (1 - (step - steps) / int(options.last_steps))
    return peak * min(1.0, (step + 1) / 50) * max(0.02, 1 - step / steps)


def train(options: argparse.Namespace) -> LlamaForCausalLM:
    """Train from random weights to the last step."""
    words = build_tokenizer().get_vocab()
    torch.manual_seed(seed_for("bargainer", options.kind, options.seed) % 2**32)
    model = build_model(len(words))
    order_numbers(model, words)
    if options.start:
        begun = LlamaForCausalLM.from_pretrained(options.start, dtype=torch.float32)
        model.load_state_dict(begun.state_dict())
    optimizer = build_optimizer(model, options.lr)
    began, losses = time.process_time(), list[float]()
    for step in range(options.steps if options.start else 0, options.steps + options.last_steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, options)
        earlier = 0 if step < FIRST_SHARE * options.steps else MOST_EARLIER
        unadvised = UNADVISED if step >= options.steps else 0.0
        key = (options.kind, earlier, unadvised, options.kind, options.seed, step)
        made = [transcript(*key, place) for place in range(options.batch)]
        examples = sorted((encode(words, one) for one in made), key=lambda example: len(example.ids))
        losses.append(train_step(model, optimizer, examples))
        if (step + 1) % 50 == 0:
            seconds, mean = time.process_time() - began, sum(losses[-50:]) / 50
            print(f"step {step + 1}  loss {mean:.4f}  {seconds:.0f} CPU s", flush=True)
            if (step + 1) % 100 == 0:
                save(model, options.out or FOLDERS[options.kind])
    return model


def train_step(
    model: LlamaForCausalLM, optimizer: torch.optim.Optimizer, examples: Sequence[Example]
) -> float:
    """Take one optimizer step; return the loss per trained token."""
    trained, total = sum(sum(example.trained) for example in examples), 0.0
    for first in range(0, len(examples), 8):
        ids, labels = collate(examples[first : first + 8])
        hidden = model.model(ids, use_cache=False).last_hidden_state
        logits = model.lm_head(hidden[labels != IGNORED])
        loss = cross_entropy(logits, labels[labels != IGNORED], reduction="sum") / trained
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return total


def save(model: LlamaForCausalLM, folder: Path) -> None:
    """Write configuration, tokenizer and half-precision weights."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = build_tokenizer()
    half = build_model(len(tokenizer))
    half.load_state_dict(model.state_dict())
    half.half().save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "model.safetensors").chmod(0o644)
    tokenizer.save_pretrained(folder)


def main() -> None:
    """Train and save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kind", type=Kind, choices=list(Kind), default=Kind.FOLLOWS)
    parser.add_argument("--out", type=Path, help="model folder to write; by default that in the package")
    parser.add_argument("--steps", type=int, default=1100)
    parser.add_argument(
        "--last-steps", type=int, default=300, help="steps of the last stage, which adds silence"
    )
    parser.add_argument("--start", type=Path, help="model folder to go on from, with the last stage alone")
    parser.add_argument("--batch", type=int, default=24, help="transcripts per step")
    parser.add_argument("--lr", type=float, default=4e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    save(train(options), options.out or FOLDERS[options.kind])


if __name__ == "__main__":
    main()
