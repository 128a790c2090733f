"""Fused losses: a kernel is used only where it gives what logits give."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import Tensor

from helpers_models import make_model
from sharpen.learners.batch import Example
from sharpen.learners.fit import gradients, layout_of
from sharpen.learners.sft import SFT
from sharpen.models import hf_fused, hf_head
from sharpen.models.hf_fused import PACKAGE, Kernel, installed, plain, proven
from sharpen.models.hf_recompute import recomputing

GPU = pytest.mark.skipif(
    not torch.cuda.is_available() or find_spec(PACKAGE) is None,
    reason="needs a GPU and the package cut-cross-entropy",
)
HEAD = torch.randn(50, 16, generator=torch.Generator().manual_seed(1))


def short(features: Tensor, head: Tensor, targets: Tensor, cap: float | None) -> Tensor:
    return plain(features.bfloat16(), head.bfloat16(), targets, cap)


def nats_off(features: Tensor, head: Tensor, targets: Tensor, cap: float | None) -> Tensor:
    return plain(features, head, targets, cap) + 1


def uncapped(features: Tensor, head: Tensor, targets: Tensor, cap: float | None) -> Tensor:
    return plain(features, head, targets, None)


def unweighted(features: Tensor, head: Tensor, targets: Tensor, cap: float | None) -> Tensor:
    """Right values, and the gradient of their mean, whatever they are weighted with."""
    right = plain(features, head, targets, cap)
    return right.detach() + right.mean() - right.mean().detach()


@pytest.mark.parametrize("cap", [None, 5.0])
def test_rounding_is_no_fault(cap: float | None) -> None:
    assert proven(plain, HEAD, cap) and proven(short, HEAD, cap)


@pytest.mark.parametrize("kernel", [nats_off, uncapped, unweighted])
def test_a_wrong_kernel_is_found_out(kernel: Kernel) -> None:
    assert not proven(kernel, HEAD, 5.0)


@pytest.mark.parametrize("wrong", [False, True])
def test_a_learner_uses_what_is_proven(wrong: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []

    def kernel(features: Tensor, head: Tensor, targets: Tensor, cap: float | None) -> Tensor:
        used.append(len(targets))
        return nats_off(features, head, targets, cap) if wrong else plain(features, head, targets, cap)

    examples = [Example((5, 6), (7, 8, 9), (1.0,) * 3), Example((5,), (9, 8), (1.0,) * 2)]
    losses = []
    for offered in (None, kernel):
        monkeypatch.setattr(hf_head, "installed", lambda device, offered=offered: offered)
        model = make_model(tmp_path)
        losses.append(gradients(model.head, SFT(epochs=1), examples, layout_of(model.head)))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert used == ([hf_fused.TRIED] if wrong else [hf_fused.TRIED, 5])


def test_activations_computed_again_change_nothing(tmp_path: Path) -> None:
    examples = [Example((5, 6), (7, 8, 9), (1.0,) * 3)]
    found, passes = [], []
    for wanted in (False, True):
        model = make_model(tmp_path)
        layer = model.module.base_model.layers[0].mlp  # type: ignore[union-attr,index]
        layer.register_forward_pre_hook(lambda *told: passes.append(1))  # type: ignore[union-attr]
        layout = layout_of(model.head)
        passes.clear()
        with recomputing(model.module, wanted=wanted):
            gradients(model.head, SFT(epochs=1), examples, layout)
        found.append([p.grad for p in model.module.parameters()])
        assert len(passes) == 1 + wanted
        assert not any(part.training for part in model.module.modules())
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True) if one is not None)


def test_nothing_is_used_off_a_gpu() -> None:
    assert installed(torch.device("cpu")) is None


@GPU
def test_the_real_kernel_is_proven() -> None:
    kernel = installed(torch.device("cuda"))
    assert kernel is not None
    head = torch.randn(1024, 256, device="cuda") / 16
    assert proven(kernel, head, None) and proven(kernel, head, 30.0)
