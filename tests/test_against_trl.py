"""Our losses and gradients against those of TRL's trainers on the same frozen batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from torch import Tensor
from trl import (
    DPOConfig,
    DPOTrainer,
    GRPOConfig,
    GRPOTrainer,
    KTOConfig,
    KTOTrainer,
    RLOOConfig,
    RLOOTrainer,
    SFTConfig,
    SFTTrainer,
)
from trl.experimental.cpo import CPOConfig, CPOTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

from helpers_models import make_model
from sharpen.learners.batch import Example
from sharpen.learners.desirable import OTHER, Desirable, with_others
from sharpen.learners.loss import token_loss
from sharpen.learners.losses import KL, Level
from sharpen.learners.on_policy import with_inputs
from sharpen.learners.packing import micro_batches
from sharpen.learners.policy_gradient import PolicyGradient
from sharpen.learners.preference import Facts, Preference, linked_pair
from sharpen.learners.preference_losses import Shape
from sharpen.learners.sft import SFT
from sharpen.learners.spans import masked_before
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


PLAIN: dict[str, Any] = {"report_to": [], "use_cpu": True, "bf16": False, "gradient_checkpointing": False}
PAIRED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "sigmoid": ({"beta": 0.3}, {"beta": 0.3}),
    "conservative": (  # for one pair, aligning distributions is the conservative loss
        {"loss_type": "aot", "beta": 0.3, "label_smoothing": 0.2},
        {"beta": 0.3, "smoothing": 0.2},
    ),
    "ipo": ({"loss_type": "ipo", "beta": 0.4}, {"shape": Shape.IPO, "beta": 0.4}),
    "exo": (
        {"loss_type": "exo_pair", "beta": 0.3, "label_smoothing": 0.005},
        {"shape": Shape.EXO, "beta": 0.3, "smoothing": 0.005},
    ),
}
UNREFERRED: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "simpo": (
        CPOTrainer,
        {"loss_type": "simpo", "beta": 2.0, "simpo_gamma": 0.7, "cpo_alpha": 0.5},
        {"shape": Shape.SIMPO, "beta": 2.0, "gamma": 0.7, "likelihood": 0.5},
    ),
    "simpo, soft": (
        CPOTrainer,
        {"loss_type": "simpo", "beta": 2.0, "simpo_gamma": 0.7, "cpo_alpha": 0.0, "label_smoothing": 0.1},
        {"shape": Shape.SIMPO, "beta": 2.0, "gamma": 0.7, "smoothing": 0.1},
    ),
    "orpo": (ORPOTrainer, {"beta": 0.2}, {"shape": Shape.ORPO, "beta": 0.2, "likelihood": 1.0}),
}


def sides(examples: list[Example], prompt: tuple[int, ...]) -> list[Example]:
    """The first two examples as a pair at one prompt."""
    return [example._replace(prompt_ids=prompt) for example in examples[:2]]


def paired(examples: list[Example], references: list[tuple[float, ...]]) -> list[Example]:
    return linked_pair(examples, references, Facts(), link="pair")


def texts(examples: list[Example]) -> dict[str, Tensor]:
    rows = [(list(e.prompt_ids), list(e.response_ids)) for e in examples]
    return {
        "input_ids": padded([p + r for p, r in rows], kind=torch.long),
        "attention_mask": padded([[1.0] * len(p + r) for p, r in rows], kind=torch.long),
        "completion_mask": padded([[0.0] * len(e.prompt_ids) + [*e.mask] for e in examples], kind=torch.long),
    }


@pytest.mark.parametrize("masked", [0, 3])
@pytest.mark.parametrize("name", PAIRED)
def test_preferences(model: HFModel, examples: list[Example], tmp_path: Path, name: str, masked: int) -> None:
    """Of whole responses, and of what follows their first tokens."""
    options, settings = PAIRED[name]
    both = [masked_before(one, masked) for one in sides(examples, examples[0].prompt_ids)]
    references = [tuple(row[1] for row in example.inputs) for example in both]
    sums = torch.tensor([sum(row[masked:]) for row in references])
    inputs = {**texts(both), "ref_chosen_logps": sums[:1], "ref_rejected_logps": sums[1:]}
    other = DPOTrainer(
        model=model.module,
        ref_model=None,
        args=DPOConfig(output_dir=str(tmp_path), **PLAIN, **options),
        train_dataset=Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}]),
        processing_class=model.tokenizer,
    )
    other.precompute_ref_logps = True
    other.model.eval()
    wanted = differentiated(model, other.compute_loss(other.model, inputs))
    assert_same(ours(model, Preference(epochs=1, **settings), paired(both, references)), wanted)


@pytest.mark.parametrize("name", UNREFERRED)
def test_preferences_without_a_reference(
    model: HFModel, examples: list[Example], tmp_path: Path, name: str
) -> None:
    kind, options, settings = UNREFERRED[name]
    both = sides(examples, examples[0].prompt_ids[:1])  # one library's likelihood is of the prompt, too
    other = kind(
        model=model.module,
        args=(ORPOConfig if kind is ORPOTrainer else CPOConfig)(output_dir=str(tmp_path), **PLAIN, **options),
        train_dataset=Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}]),
        processing_class=model.tokenizer,
    )
    other.model.eval()
    inputs: dict[str, Tensor] = {}
    for side, example in zip(("chosen", "rejected"), both, strict=True):
        found = texts([example])
        labels = found["input_ids"].masked_fill(found["completion_mask"] == 0, -100)
        inputs[f"{side}_input_ids"], inputs[f"{side}_attention_mask"] = (
            found["input_ids"],
            found["attention_mask"],
        )
        inputs[f"{side}_labels"] = labels
    loss, _ = other.get_batch_loss_metrics(other.model, inputs)
    zeros = [(0.0,) * len(example.response_ids) for example in both]
    own = ours(model, Preference(epochs=1, **settings), paired(both, zeros))
    assert_same(own, differentiated(model, loss))


@pytest.mark.parametrize("shift", [-0.2, 0.3])
def test_good_and_bad_ones(model: HFModel, examples: list[Example], tmp_path: Path, shift: float) -> None:
    """Where the policy has drifted from the reference, and where the estimate of that is negative."""
    kinds = with_others([(example, place % 2 == 0) for place, example in enumerate(examples)])
    scored = model.logprobs([(example.prompt_ids, example.response_ids) for example, _ in kinds])
    known = [tuple(value - shift for value in row) for row in scored]
    grouped = [
        example._replace(inputs=tuple((x, kind, 0.0) for x in row), link="group")
        for (example, kind), row in zip(kinds, known, strict=True)
    ]
    sums = torch.tensor([sum(row) for row in known])
    own, mixed = (
        [example for example, kind in kinds if (kind == OTHER) is wanted] for wanted in (False, True)
    )
    inputs = {**texts(own), **{f"KL_{key}": value for key, value in texts(mixed).items()}}
    inputs |= {"label": torch.tensor([True, False] * 2), "ref_logps": sums[:4], "ref_KL_logps": sums[4:]}
    weights = {"desirable_weight": 1.2, "undesirable_weight": 0.8, "beta": 0.3}
    other = KTOTrainer(
        model=model.module,
        args=KTOConfig(output_dir=str(tmp_path), per_device_train_batch_size=4, **PLAIN, **weights),
        train_dataset=Dataset.from_list([{"prompt": "a", "completion": "b", "label": True}] * 4),
        processing_class=model.tokenizer,
    )
    other.precompute_ref_logps = True
    other.model.eval()
    wanted = differentiated(model, other.compute_loss(other.model, inputs))
    assert_same(ours(model, Desirable(epochs=1, good=1.2, bad=0.8, beta=0.3), grouped), wanted)
