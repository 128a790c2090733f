"""How a small model that ships with the package is made: trained by its own learner, in half precision."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sharpen.core.seeds import seed_for
from sharpen.learners.batch import Batch
from sharpen.learners.sft import SFT, train
from sharpen.models.hf import HFModel

MODELS = Path(__file__).parents[1] / "src" / "sharpen" / "models"
PROGRESS = 50
"""Steps between two lines of progress."""


def from_scratch(
    name: str,
    module: Callable[[], PreTrainedModel],
    tokenizer: Callable[[], PreTrainedTokenizerBase],
    *,
    seed: int,
    work: Path,
) -> HFModel:
    """An untrained model: what `module` builds out of the weights that follow from name and seed."""
    torch.manual_seed(seed_for(name, "weights", seed) % 2**32)
    untrained = work / "untrained"
    module().save_pretrained(untrained)
    tokenizer().save_pretrained(untrained)
    return HFModel.open(untrained, name=name, threads=1)


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
