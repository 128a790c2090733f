"""An objective over a micro-batch, without holding [tokens, vocabulary] for large vocabularies."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from sharpen.learners.packing import Micro
from sharpen.learners.training import Objective, Tokens
from sharpen.models.hf_head import LOGITS_AT_ONCE, Head


def token_loss(head: Head, micro: Micro, objective: Objective, *, packed: bool) -> Tensor:
    """The objective's sum over the trained tokens, as a scalar with gradient."""
    logprobs = token_logprobs(head, micro, packed=packed)
    return objective.loss(Tokens(logprobs, micro.weights, micro.inputs, micro.documents))


def token_logprobs(head: Head, micro: Micro, *, packed: bool) -> Tensor:
    """Log-probabilities [trained] of the tokens that carry loss."""
    positions = micro.positions if packed or micro.mask is not None else None
    features = head.features(micro.ids, positions, micro.mask)
    return _logprobs(head, features.flatten(0, 1)[micro.sources], micro.targets)


def _logprobs(head: Head, features: Tensor, targets: Tensor) -> Tensor:
    """[tokens]; logits are held for a part of the tokens at a time, and computed again for the gradient."""
    if (fused := head.fused(features, targets)) is not None:
        return fused
    size = max(1, LOGITS_AT_ONCE // head.vocabulary)
    if len(features) <= size:
        return _part(head, features, targets)
    parts = zip(torch.split(features, size), torch.split(targets, size), strict=True)
    return torch.cat(
        [
            checkpoint(_part, head, some, wanted, use_reentrant=False, preserve_rng_state=False)
            for some, wanted in parts
        ]
    )


def _part(head: Head, features: Tensor, targets: Tensor) -> Tensor:
    return -cross_entropy(head.logits(features), targets, reduction="none")
