"""How a small model that ships with the package is made: trained by its own learner, in half precision."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sharpen.core.seeds import seed_for
from sharpen.learners.batch import Batch, Example
from sharpen.learners.sft import SFT, Schedule, train
from sharpen.models.hf import HFModel

MODELS = Path(__file__).parents[1] / "src" / "sharpen" / "models"
PROGRESS = 50
"""Steps between two lines of progress."""


class Plan(NamedTuple):
    """A training in one pass, whose sizes the command line may change."""

    steps: int
    batch: int
    """Examples per step."""
    lr: float
    """Peak learning rate; it falls to zero."""
    warmup: int
    """Steps."""
    weight_decay: float = 0.0


def make(
    name: str,
    description: str | None,
    plan: Plan,
    start: Callable[[int, Path], HFModel],
    example: Callable[[int, int, HFModel], Example],
) -> None:
    """Read the command line, train and write the model.

    `start` makes it from the seed and a folder to work in; `example` makes the example at a place of the data
    from the seed, the place and the model.
    """
    options = _parse(name, description, plan)
    model = start(options.seed, options.work)
    count = options.steps * options.batch
    batch = Batch(tuple(example(options.seed, place, model) for place in range(count)))
    learner = SFT(
        epochs=1,
        batch_size=options.batch,
        lr=options.lr,
        schedule=Schedule.LINEAR,
        warmup_steps=plan.warmup,
        weight_decay=plan.weight_decay,
    )
    ship(model, learner, batch, seed=options.seed, work=options.work, out=options.out)


def _parse(name: str, description: str | None, plan: Plan) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=MODELS / name, help="model folder to write")
    parser.add_argument("--work", type=Path, default=Path("runs") / name, help="folder of the checkpoint")
    parser.add_argument("--steps", type=int, default=plan.steps)
    parser.add_argument("--batch", type=int, default=plan.batch, help="examples per step")
    parser.add_argument("--lr", type=float, default=plan.lr, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def shipped(name: str) -> Callable[[int, Path], HFModel]:
    """What starts from a model that ships already."""
    return lambda seed, work: HFModel.open(MODELS / name, name=name, threads=1)


def from_scratch(
    name: str, module: Callable[[], PreTrainedModel], tokenizer: Callable[[], PreTrainedTokenizerBase]
) -> Callable[[int, Path], HFModel]:
    """What starts from what `module` builds out of the weights that follow from name and seed."""

    def start(seed: int, work: Path) -> HFModel:
        torch.manual_seed(seed_for(name, "weights", seed) % 2**32)
        untrained = work / "untrained"
        module().save_pretrained(untrained)
        tokenizer().save_pretrained(untrained)
        return HFModel.open(untrained, name=name, threads=1)

    return start


def ship(model: HFModel, learner: SFT, batch: Batch, *, seed: int, work: Path, out: Path) -> None:
    """Train the model, going on from a checkpoint in `work`, and write its folder."""
    began, output = time.monotonic(), work / "output"
    output.mkdir(parents=True, exist_ok=True)

    def progress(step: int, total: int, loss: float) -> None:
        if step % PROGRESS == 0:
            print(f"step {step}/{total}  loss {loss:.4f}  {time.monotonic() - began:.0f} s", flush=True)

    train(
        model,
        learner,
        batch,
        start_weights=None,
        optimizer_state=None,
        seed=seed,
        scratch=work,
        output=output,
        progress=progress,
        should_stop=lambda: None,
    )
    model.module.half().save_pretrained(out)
    (out / "generation_config.json").unlink(missing_ok=True)
    model.tokenizer.save_pretrained(out)
