"""Log-probabilities of tokens by a fused kernel, which never holds logits: cut-cross-entropy, on a GPU.

A kernel is only used after it has given what the plain computation gives on random features, gradients
included, to the rounding of its numbers (arXiv 2411.09009). Where it does not, or is not installed, the plain
one goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

PACKAGE = "cut_cross_entropy"
ROUNDING = 0.03
"""Largest relative error in bfloat16; a wrong formula is off by far more."""
TRIED = 64
"""Tokens of the trial."""

Kernel = Callable[[Tensor, Tensor, Tensor, float | None], Tensor]
"""(features [n, width], head [vocabulary, width], targets [n], softcap) -> log-probabilities [n]."""


def installed(device: torch.device) -> Kernel | None:
    """The kernel of the package cut-cross-entropy; None without it, or off a GPU."""
    if device.type != "cuda" or find_spec(PACKAGE) is None:
        return None
    fused: Any = import_module(PACKAGE).linear_cross_entropy

    def kernel(features: Tensor, head: Tensor, targets: Tensor, cap: float | None) -> Tensor:
        short = torch.bfloat16
        lost: Tensor = fused(features.to(short), head.to(short), targets, softcap=cap, reduction="none")
        return -lost.float()

    return kernel


def plain(features: Tensor, head: Tensor, targets: Tensor, cap: float | None) -> Tensor:
    """The same with all logits at hand."""
    logits = (features @ head.T).float()
    if cap is not None:
        logits = torch.tanh(logits / cap) * cap
    return -cross_entropy(logits, targets, reduction="none")


def proven(kernel: Kernel, head: Tensor, cap: float | None) -> bool:
    """Whether the kernel gives the plain values and gradients for this head, to rounding."""
    place = torch.Generator().manual_seed(0)
    drawn = torch.randn(TRIED, head.shape[1], generator=place)
    targets = torch.randint(head.shape[0], (TRIED,), generator=place).to(head.device)
    weights = torch.rand(TRIED, generator=place).to(head.device)
    found = []
    for way in (kernel, plain):
        features = drawn.to(head.device).requires_grad_(True)
        matrix = head.detach().float().requires_grad_(True)
        values = way(features, matrix, targets, cap)
        gradients = torch.autograd.grad((values * weights).sum(), (features, matrix))
        found.append((values.detach(), *gradients))
    return all(_near(one, other) for one, other in zip(*found, strict=True))


def _near(one: Tensor, other: Tensor) -> bool:
    return bool((one.float() - other).norm() <= ROUNDING * other.norm())
