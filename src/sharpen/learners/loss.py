"""Weighted negative log-likelihood, without holding [tokens, vocabulary] for large vocabularies."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from sharpen.learners.packing import Micro
from sharpen.models.hf_head import LOGITS_AT_ONCE, Head


def weighted_nll(head: Head, micro: Micro, *, packed: bool) -> Tensor:
    """Sum over the trained tokens of weight * -log p, as a scalar with gradient."""
    features = head.features(micro.ids, micro.positions if packed else None)
    wanted = features.flatten(0, 1)[micro.sources]
    size = max(1, LOGITS_AT_ONCE // head.vocabulary)
    if len(wanted) <= size:
        return _nll(head, wanted, micro.targets, micro.weights)
    total = torch.zeros((), device=wanted.device)
    for part in zip(
        *(torch.split(part, size) for part in (wanted, micro.targets, micro.weights)), strict=True
    ):
        total = total + checkpoint(_nll, head, *part, use_reentrant=False, preserve_rng_state=False)
    return total


def _nll(head: Head, features: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    return (cross_entropy(head.logits(features), targets, reduction="none") * weights).sum()
