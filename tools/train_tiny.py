"""Train the model `tiny` from scratch on the task families of this package, then measure it.

    python tools/train_tiny.py                      # about 50 minutes on one core
    python tools/train_tiny.py --resume             # go on from the last checkpoint

One example is `<bos>Q: {question}\\nA: {solution}<eos>` with one token per character and loss on what follows
`A:`. Every step draws its examples from a stream keyed by seed and step, so a resumed run sees the same data.
"""

from __future__ import annotations

import argparse
import string
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from measure_tiny import FAMILIES, FOLDER, Cell, draw, evaluation_set, glance, measure_folder
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
from word_level import BOS, EOS, PAD, SPECIAL, decoder, tokenizer_of

from sharpen.core.seeds import random_for, seed_for
from sharpen.tasks.base import Problem

LEVEL_MIX = (0.20, 0.30, 0.35, 0.12, 0.02, 0.01)
"""Share of each level in training: hard levels stay rare, so that there is something left to improve."""
FIRST_MIX = (0.55, 0.35, 0.10, 0.0, 0.0, 0.0)
"""The same for the first steps: single operations are learnt sooner from short solutions."""
FIRST_STEPS = 1200
CONTEXT = 512
CHARACTERS = "\n" + "".join(c for c in string.printable if c.isprintable())
VOCABULARY = {token: index for index, token in enumerate((*SPECIAL, *sorted(CHARACTERS)))}
IGNORED = -100
MICRO_BATCH = 16


class Example(NamedTuple):
    """Token ids of a whole example and where the part with loss begins."""

    ids: list[int]
    start: int


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Make a tokenizer in which every printable ASCII character and newline is one token."""
    return tokenizer_of(VOCABULARY, r"[\s\S]", context=CONTEXT)


def build_model() -> LlamaForCausalLM:
    """Make an untrained decoder of 1.3 M parameters."""
    return decoder(len(VOCABULARY), hidden=160, inner=448, layers=4, heads=5, context=CONTEXT)


def encode(problem: Problem) -> Example:
    """Turn a problem into tokens."""
    prompt, response = f"Q: {problem.question}\nA:", f" {problem.solution}"
    ids = [BOS, *(VOCABULARY[c] for c in prompt + response), EOS]
    return Example(ids, 1 + len(prompt))


def draw_batch(options: argparse.Namespace, step: int, held_out: frozenset[str]) -> list[Example]:
    """Draw the examples of one step, shortest first."""
    rng = random_for("tiny", "train", options.seed, step)
    mix = FIRST_MIX if step < FIRST_STEPS else LEVEL_MIX
    batch: list[Example] = []
    while len(batch) < options.batch:
        level = rng.choices(range(1, len(mix) + 1), mix)[0]
        problem = draw(rng, Cell(FAMILIES[len(batch) % len(FAMILIES)], level))
        if problem.question not in held_out:
            batch.append(encode(problem))
    return sorted(batch, key=lambda example: len(example.ids))


def collate(examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """Pad on the right: input ids and next-token labels, both (examples, longest - 1)."""
    longest = max(len(example.ids) for example in examples)
    ids = torch.full((len(examples), longest), PAD)
    labels = torch.full((len(examples), longest), IGNORED)
    for row, (tokens, start) in enumerate(examples):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        labels[row, start : len(tokens)] = ids[row, start : len(tokens)]
    return ids[:, :-1], labels[:, 1:]


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Linear warm-up over 200 steps, level until 60 %, then a straight line to 2 % of the peak."""
    decay = min(1.0, (steps - step) / (0.4 * steps))
    return peak * min(1.0, (step + 1) / 200) * max(0.02, decay)


def build_optimizer(model: LlamaForCausalLM, peak: float) -> torch.optim.AdamW:
    """Make AdamW with weight decay on matrices only."""
    matrices = [p for p in model.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if p.ndim != 2]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.99), fused=True)


def train_step(
    model: LlamaForCausalLM,
    forward: Callable[..., Any],
    optimizer: torch.optim.Optimizer,
    batch: Sequence[Example],
) -> tuple[float, int]:
    """Take one optimizer step; return the loss per trained token and the number of all tokens.

    `forward` is the model itself or its compiled form.
    """
    trained = sum(len(example.ids) - example.start for example in batch)
    total = 0.0
    for first in range(0, len(batch), MICRO_BATCH):
        ids, labels = collate(batch[first : first + MICRO_BATCH])
        logits = forward(ids, use_cache=False).logits
        loss = cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum") / trained
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return total, sum(len(example.ids) for example in batch)


class Progress:
    """Prints loss, speed and time left every 50 steps."""

    def __init__(self, first: int, steps: int) -> None:
        self.first, self.steps = first, steps
        self.began, self.tokens, self.losses = time.monotonic(), 0, list[float]()

    def add(self, step: int, loss: float, tokens: int) -> None:
        """Take note of a finished step."""
        self.tokens += tokens
        self.losses = [*self.losses[-99:], loss]
        done = step + 1
        if done % 50:
            return
        seconds = time.monotonic() - self.began
        left = seconds / (done - self.first) * (self.steps - done) / 60
        mean, rate = sum(self.losses) / len(self.losses), self.tokens / seconds
        line = f"step {done}/{self.steps}  loss {mean:.4f}  {rate:.0f} tokens/s  {left:.0f} min left"
        print(line, flush=True)


def train(options: argparse.Namespace, held_out: frozenset[str]) -> None:
    """Train to the last step; every `checkpoint_every` steps write a checkpoint and the model folder."""
    torch.manual_seed(seed_for("tiny", "weights", options.seed) % 2**32)
    model = build_model()
    optimizer = build_optimizer(model, options.lr)
    checkpoint, first = options.work / "checkpoint.pt", 0
    if options.resume:
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    forward = torch.compile(model, dynamic=True) if options.compile else model
    progress = Progress(first, options.steps)
    for step in range(first, options.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, options.steps, options.lr)
        batch = draw_batch(options, step, held_out)
        progress.add(step, *train_step(model, forward, optimizer, batch))
        if (step + 1) % options.checkpoint_every == 0 or step + 1 == options.steps:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
            torch.save(state, checkpoint.with_suffix(".tmp"))
            checkpoint.with_suffix(".tmp").replace(checkpoint)
            save(model, options.out)
            glance(model, build_tokenizer())


def save(model: LlamaForCausalLM, folder: Path) -> None:
    """Write configuration, tokenizer and half-precision weights."""
    folder.mkdir(parents=True, exist_ok=True)
    half = build_model()
    half.load_state_dict(model.state_dict())
    half.half().save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "model.safetensors").chmod(0o644)
    build_tokenizer().save_pretrained(folder)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=FOLDER, help="model folder to write")
    parser.add_argument("--work", type=Path, default=Path("runs/tiny"), help="folder of the checkpoint")
    parser.add_argument("--steps", type=int, default=4500)
    parser.add_argument("--batch", type=int, default=32, help="examples per step")
    parser.add_argument("--lr", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--checkpoint-every", type=int, default=400)
    parser.add_argument("--evaluate", type=int, default=200, help="problems per family and level")
    parser.add_argument("--compile", action="store_true", help="30 %% faster; needs a C++ compiler")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    return parser.parse_args()


def main() -> None:
    """Train, then measure."""
    options = parse()
    torch.set_num_threads(options.threads)
    transformers.utils.logging.disable_progress_bar()
    options.work.mkdir(parents=True, exist_ok=True)
    evaluation = evaluation_set(options.evaluate)
    train(options, frozenset(p.question for problems in evaluation.values() for p in problems))
    measure_folder(options.out, options.evaluate)


if __name__ == "__main__":
    main()
