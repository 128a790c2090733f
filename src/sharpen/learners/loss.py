"""An objective over a micro-batch, without holding [tokens, vocabulary] for large vocabularies."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from sharpen.learners.packing import Micro
from sharpen.learners.training import Objective
from sharpen.models.hf_head import LOGITS_AT_ONCE, Head


def token_loss(head: Head, micro: Micro, objective: Objective, *, packed: bool) -> Tensor:
    """The objective's sum over the trained tokens, as a scalar with gradient."""
    features = head.features(micro.ids, micro.positions if packed else None)
    wanted = features.flatten(0, 1)[micro.sources]
    size = max(1, LOGITS_AT_ONCE // head.vocabulary)
    columns = (wanted, micro.targets, micro.weights, micro.inputs)
    if len(wanted) <= size:
        return _part(head, objective, *columns)
    total = torch.zeros((), device=wanted.device)
    for part in zip(*(torch.split(column, size) for column in columns), strict=True):
        total = total + checkpoint(
            _part, head, objective, *part, use_reentrant=False, preserve_rng_state=False
        )
    return total


def _part(
    head: Head, objective: Objective, features: Tensor, targets: Tensor, weights: Tensor, inputs: Tensor
) -> Tensor:
    logprobs = -cross_entropy(head.logits(features), targets, reduction="none")
    return objective.loss(logprobs, weights, inputs)
