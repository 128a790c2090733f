"""Our losses and gradients against those of TRL's trainers on the same frozen batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from torch import Tensor
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer, SFTConfig, SFTTrainer

from helpers_models import make_model
from sharpen.learners.batch import Example
from sharpen.learners.loss import token_loss
from sharpen.learners.losses import KL, Level
from sharpen.learners.on_policy import with_inputs
from sharpen.learners.packing import micro_batches
from sharpen.learners.policy_gradient import PolicyGradient
from sharpen.learners.preference import Preference
from sharpen.learners.sft import SFT
from sharpen.learners.training import Normalisation, Training
from sharpen.models.hf import HFModel

LONGEST = 10
ADVANTAGES = [1.2, -0.7, 0.4, -0.9]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    return make_model(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def examples(model: HFModel) -> list[Example]:
    """Off-policy: the old policy's log-probabilities lie around the model's own, some beyond the clips."""
    chance = torch.Generator().manual_seed(3)
    made = []
    for index, advantage in enumerate(ADVANTAGES):
        prompt = tuple(torch.randint(4, 90, (3 + index,), generator=chance).tolist())
        response = tuple(torch.randint(4, 90, (LONGEST - 2 * index,), generator=chance).tolist())
        (own,) = model.logprobs([(prompt, response)])
        old, reference = ([x + float(0.4 * torch.randn((), generator=chance)) for x in own] for _ in range(2))
        plain = Example(prompt, response, (1.0,) * len(response))
        made.append(with_inputs(plain, old, reference, [advantage]))
    return made


def ours(model: HFModel, settings: Training, examples: list[Example]) -> tuple[float, Tensor]:
    weighted, divisor = settings.normalised(examples)
    micros = micro_batches(weighted, packed=True, micro_tokens=40, device=torch.device("cpu"))
    parts = [token_loss(model.head, micro, settings.objective, packed=True) for micro in micros]
    return differentiated(model, torch.stack(parts).sum() / divisor)


def differentiated(model: HFModel, loss: Tensor) -> tuple[float, Tensor]:
    grads = torch.autograd.grad(loss, list(model.module.parameters()), allow_unused=True)
    return float(loss.detach()), torch.cat([grad.flatten() for grad in grads if grad is not None])


def padded(rows: list[list[float]], *, left: bool = False, kind: torch.dtype = torch.float32) -> Tensor:
    width = max(map(len, rows))
    filled = [[0.0] * (width - len(r)) + r if left else r + [0.0] * (width - len(r)) for r in rows]
    return torch.tensor(filled, dtype=kind)


def frozen(examples: list[Example]) -> dict[str, Any]:
    prompts, responses = ([list(e.prompt_ids) for e in examples], [list(e.response_ids) for e in examples])
    columns = [[[row[place] for row in e.inputs] for e in examples] for place in (0, 1)]
    ones = [[1.0] * len(row) for row in responses]
    return {
        "prompt_ids": padded(prompts, left=True, kind=torch.long),
        "prompt_mask": padded([[1.0] * len(row) for row in prompts], left=True, kind=torch.long),
        "completion_ids": padded(responses, kind=torch.long),
        "completion_mask": padded(ones, kind=torch.long),
        "old_per_token_logps": padded(columns[0]),
        "old_logps": padded(columns[0]).sum(1),
        "ref_per_token_logps": padded(columns[1]),
        "advantages": torch.tensor(ADVANTAGES),
        "num_items_in_batch": torch.tensor(float(sum(map(len, responses)))),
    }


COMMON: dict[str, Any] = {
    "report_to": [],
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "num_generations": 2,
    "per_device_train_batch_size": 4,
    "max_completion_length": LONGEST,
}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "group-relative, per response": (
        {"loss_type": "grpo", "beta": 0.05, "use_bias_correction_kl": False},
        {"normalisation": Normalisation.SEQUENCE, "kl": 0.05, "kl_form": KL.K3},
    ),
    "centred, constant length": (
        {"loss_type": "dr_grpo", "beta": 0.0},
        {"normalisation": Normalisation.CONSTANT, "length": LONGEST, "kl": 0.0},
    ),
    "unequal clips, per token": (
        {"loss_type": "dapo", "beta": 0.0, "epsilon_high": 0.28},
        {"normalisation": Normalisation.TOKEN, "clip_high": 0.28, "kl": 0.0},
    ),
    "ratio of the response": (
        {"loss_type": "grpo", "beta": 0.0, "importance_sampling_level": "sequence"},
        {"normalisation": Normalisation.SEQUENCE, "level": Level.SEQUENCE_MEAN, "kl": 0.0},
    ),
}


def assert_same(found: tuple[float, Tensor], wanted: tuple[float, Tensor]) -> None:
    assert found[0] == pytest.approx(wanted[0], rel=1e-5)
    assert float(torch.cosine_similarity(found[1], wanted[1], dim=0)) >= 0.99999
    assert float(found[1].norm()) == pytest.approx(float(wanted[1].norm()), rel=1e-4)


def theirs(model: HFModel, trainer: Any, inputs: dict[str, Any]) -> tuple[float, Tensor]:
    trainer.model.eval()
    return differentiated(model, trainer._compute_loss(trainer.model, inputs))


def trainer(kind: Any, config: Any, model: HFModel, folder: Path, **options: Any) -> Any:
    return kind(
        model=model.module,
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=config(output_dir=str(folder), **COMMON, **options),
        train_dataset=Dataset.from_list([{"prompt": "a"}] * 4),
        processing_class=model.tokenizer,
    )


@pytest.mark.parametrize("name", CASES)
def test_policy_gradients(model: HFModel, examples: list[Example], tmp_path: Path, name: str) -> None:
    options, settings = CASES[name]
    other = trainer(GRPOTrainer, GRPOConfig, model, tmp_path, **options)
    own = PolicyGradient(epochs=1, ceiling=None, **settings)
    assert_same(ours(model, own, examples), theirs(model, other, frozen(examples)))


def test_the_ratio_of_whole_responses(model: HFModel, examples: list[Example], tmp_path: Path) -> None:
    other = trainer(RLOOTrainer, RLOOConfig, model, tmp_path, beta=0.0)
    own = PolicyGradient(
        epochs=1, ceiling=None, kl=0.0, level=Level.SEQUENCE, normalisation=Normalisation.SEQUENCE
    )
    assert_same(ours(model, own, examples), theirs(model, other, frozen(examples)))


def test_supervised(model: HFModel, examples: list[Example], tmp_path: Path) -> None:
    rows = [(list(e.prompt_ids), list(e.response_ids)) for e in examples]
    inputs = {
        "input_ids": padded([p + r for p, r in rows], kind=torch.long),
        "attention_mask": padded([[1.0] * len(p + r) for p, r in rows], kind=torch.long),
        "labels": padded([[-100.0] * len(p) + r for p, r in rows], kind=torch.long),
    }
    inputs["labels"][inputs["attention_mask"] == 0] = -100
    options = {"report_to": [], "use_cpu": True, "bf16": False, "gradient_checkpointing": False}
    other = SFTTrainer(
        model=model.module,
        args=SFTConfig(output_dir=str(tmp_path), **options),
        train_dataset=Dataset.from_list([{"text": "a"}]),
        processing_class=model.tokenizer,
    )
    other.model.eval()
    wanted = differentiated(model, other.compute_loss(other.model, inputs))
    assert_same(ours(model, SFT(epochs=1), examples), wanted)


def test_preferences(model: HFModel, examples: list[Example], tmp_path: Path) -> None:
    sides = [(e.prompt_ids, e.response_ids) for e in examples[:2]]
    prompt = sides[0][0]
    rows = [(list(prompt), list(response)) for _, response in sides]
    references = [-3.5 * len(response) for _, response in rows]
    inputs = {
        "input_ids": padded([p + r for p, r in rows], kind=torch.long),
        "attention_mask": padded([[1.0] * len(p + r) for p, r in rows], kind=torch.long),
        "completion_mask": padded([[0.0] * len(p) + [1.0] * len(r) for p, r in rows], kind=torch.long),
        "ref_chosen_logps": torch.tensor(references[:1]),
        "ref_rejected_logps": torch.tensor(references[1:]),
    }
    options = {"report_to": [], "use_cpu": True, "bf16": False, "gradient_checkpointing": False}
    other = DPOTrainer(
        model=model.module,
        ref_model=None,
        args=DPOConfig(output_dir=str(tmp_path), beta=0.3, precompute_ref_log_probs=False, **options),
        train_dataset=Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}]),
        processing_class=model.tokenizer,
    )
    other.precompute_ref_logps = True
    other.model.eval()
    wanted = differentiated(model, other.compute_loss(other.model, inputs))
    linked = [
        Example(prompt, tuple(r), (1.0,) * len(r), inputs=((-3.5, 1.0),) * len(r), link="pair")
        for _, r in rows
    ]
    assert_same(ours(model, Preference(epochs=1, beta=0.3), linked), wanted)
