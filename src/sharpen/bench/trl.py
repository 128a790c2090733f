"""The same steps by the trainers of TRL, on the same frozen batches. Needs the package trl."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharpen.learners.batch import Example

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from sharpen.bench.frozen import Frozen
    from sharpen.models.hf import HFModel

IGNORED = -100.0
PLAIN: dict[str, Any] = {"report_to": [], "use_cpu": True, "bf16": False, "activation_checkpointing": False}
ONE = {"prompt": "a", "chosen": "b", "rejected": "c", "text": "a"}

Loss = Callable[[], "Tensor"]


def loss_of(model: HFModel, batch: Frozen, folder: Path) -> Loss:
    """A function that computes the trainer's loss of the batch, with gradient."""
    makers = {"SFT": _supervised, "DPO": _preference, "GRPO": _grouped}
    return makers[batch.name.partition(",")[0]](model, batch.examples, folder)


def _supervised(model: HFModel, examples: Sequence[Example], folder: Path) -> Loss:
    from trl import SFTConfig, SFTTrainer

    trainer = SFTTrainer(**_common(model, SFTConfig(output_dir=str(folder), **PLAIN), "text"))
    inputs = _texts(examples)
    kept = inputs.pop("completion_mask") == 1
    inputs["labels"] = inputs["input_ids"].masked_fill(~kept, int(IGNORED))
    return lambda: trainer.compute_loss(trainer.model, inputs)


def _preference(model: HFModel, examples: Sequence[Example], folder: Path) -> Loss:
    import torch
    from trl import DPOConfig, DPOTrainer

    config = DPOConfig(output_dir=str(folder), beta=0.1, **PLAIN)
    trainer = DPOTrainer(ref_model=None, **_common(model, config, "prompt", "chosen", "rejected"))
    trainer.precompute_ref_logps = True
    better, worse = examples[::2], examples[1::2]
    sums = [torch.tensor([sum(row[0] for row in e.inputs) for e in side]) for side in (better, worse)]
    inputs = {
        **_texts([*better, *worse]),
        "ref_chosen_logps": sums[0],
        "ref_rejected_logps": sums[1],
    }
    return lambda: trainer.compute_loss(trainer.model, inputs)


def _grouped(model: HFModel, examples: Sequence[Example], folder: Path) -> Loss:
    import torch
    from trl import GRPOConfig, GRPOTrainer

    config = GRPOConfig(
        output_dir=str(folder),
        loss_type="grpo",
        beta=0.05,
        use_bias_correction_kl=False,
        num_generations=2,
        per_device_train_batch_size=len(examples),
        max_completion_length=max(len(e.response_ids) for e in examples),
        **PLAIN,
    )
    trainer = GRPOTrainer(
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        **_common(model, config, "prompt", rows=len(examples)),
    )
    old, reference = ([[row[column] for row in e.inputs] for e in examples] for column in (0, 1))
    ones = [[1.0] * len(e.response_ids) for e in examples]
    inputs = {
        "prompt_ids": _padded([list(e.prompt_ids) for e in examples], torch.long, left=True),
        "prompt_mask": _padded([[1.0] * len(e.prompt_ids) for e in examples], torch.long, left=True),
        "completion_ids": _padded([list(e.response_ids) for e in examples], torch.long),
        "completion_mask": _padded(ones, torch.long),
        "old_per_token_logps": _padded(old, torch.float32),
        "ref_per_token_logps": _padded(reference, torch.float32),
        "advantages": torch.tensor([e.inputs[0][2] for e in examples]),
        "num_items_in_batch": torch.tensor(float(sum(map(len, ones)))),
    }
    return lambda: trainer._compute_loss(trainer.model, inputs)


def _common(model: HFModel, config: Any, *fields: str, rows: int = 1) -> dict[str, Any]:
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    return {
        "model": model.module,
        "args": config,
        "train_dataset": Dataset.from_list([{name: ONE[name] for name in fields}] * rows),
        "processing_class": model.tokenizer,
    }


def _texts(examples: Sequence[Example]) -> dict[str, Tensor]:
    import torch

    rows = [[*e.prompt_ids, *e.response_ids] for e in examples]
    return {
        "input_ids": _padded(rows, torch.long),
        "attention_mask": _padded([[1.0] * len(row) for row in rows], torch.long),
        "completion_mask": _padded([[0.0] * len(e.prompt_ids) + [*e.mask] for e in examples], torch.long),
    }


def _padded(rows: Sequence[Sequence[float]], kind: torch.dtype, *, left: bool = False) -> Tensor:
    import torch

    width = max(map(len, rows))
    filled = [
        [0.0] * (width - len(row)) + list(row) if left else list(row) + [0.0] * (width - len(row))
        for row in rows
    ]
    return torch.tensor(filled, dtype=kind)
