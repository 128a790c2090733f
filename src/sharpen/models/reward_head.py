"""A decoder that scores instead of writing: its trunk, and two linear layers in the place of its own head.

The trunk is the decoder of a run, with whatever weights are loaded; a reward model is those weights and the
two layers. The score of a text is read off the features of a token: of the last one for the whole response,
of the last one of a line for what was said so far (causal attention never looks further).

A head with `likelihood` adds w log p(response | prompt) of what was said so far, with p the trunk's own
distribution and w learnt: a reward model that a language model already is (arXiv 2305.18290, 2412.01981).
A few hundred tries teach a small trunk little else.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from sharpen.models.hf_file import read_checked, save_tensors
from sharpen.models.hf_head import LOGITS_AT_ONCE, Head, batches
from sharpen.models.hf_weights import copy_into

HEAD_FILE = "head.safetensors"
FIRST_WEIGHT = 0.5
SCORED_TOKENS = 8192
"""Most token places in one forward pass."""


class Reading(NamedTuple):
    """A text to score."""

    ids: tuple[int, ...]
    """Tokens of prompt and response."""
    places: tuple[int, ...]
    """Where scores are read off."""
    spoken: tuple[int, ...]
    """Places of the tokens whose likelihood counts; none is the first."""


class RewardHead(nn.Module):
    """Features [n, width] and log-likelihoods [n] -> scores [n]."""

    def __init__(self, width: int, *, likelihood: bool = False) -> None:
        """`width` is that of the trunk's features."""
        super().__init__()
        self.width = width
        self.layers = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
        self.weight = nn.Parameter(torch.tensor(FIRST_WEIGHT)) if likelihood else None

    def forward(self, features: Tensor, likelihoods: Tensor | None = None) -> Tensor:
        """The scores; likelihoods are needed where the head weighs them."""
        scores: Tensor = self.layers(features.float())[:, 0]
        return scores if self.weight is None or likelihoods is None else scores + self.weight * likelihoods


def feature_width(head: Head) -> int:
    """Width of a decoder's features."""
    with torch.no_grad():
        return int(head.features(torch.ones(1, 1, dtype=torch.long, device=head.module.device)).shape[-1])


def fresh_head(width: int, seed: int, device: torch.device, *, likelihood: bool = False) -> RewardHead:
    """Untrained layers drawn from a seed of their own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return RewardHead(width, likelihood=likelihood).to(device)


def save_head(head: RewardHead, target: Path) -> None:
    """Write the layers."""
    facts = {"width": head.width, "likelihood": head.weight is not None}
    save_tensors(target, head.state_dict(), facts)


def read_head(path: Path, device: torch.device) -> RewardHead:
    """The layers in a file; Damaged if it is none."""
    contents = read_checked(path)
    head = RewardHead(int(str(contents.facts["width"])), likelihood=bool(contents.facts["likelihood"]))
    copy_into(head.state_dict(), contents.tensors, path)
    return head.to(device)


def scores_at(trunk: Head, head: RewardHead, texts: Sequence[Reading]) -> list[Tensor]:
    """For every text the scores [m] at its m places; float32, with gradient where it is on.

    In training, several passes are each done again for their gradients, so that memory does not grow.
    """
    found: list[Tensor] = [torch.empty(0)] * len(texts)
    groups = batches([len(text.ids) for text in texts], SCORED_TOKENS)
    for group in groups:
        some = [texts[i] for i in group]
        if torch.is_grad_enabled() and len(groups) > 1:
            flat = checkpoint(_scores, trunk, head, some, use_reentrant=False, preserve_rng_state=False)
        else:
            flat = _scores(trunk, head, some)
        for index, part in zip(group, torch.split(flat, [len(text.places) for text in some]), strict=True):
            found[index] = part
    return found


def _scores(trunk: Head, head: RewardHead, texts: Sequence[Reading]) -> Tensor:
    device, width = trunk.module.device, max(len(text.ids) for text in texts)
    ids = torch.tensor([[*text.ids, *[0] * (width - len(text.ids))] for text in texts], device=device)
    features = trunk.features(ids)
    at = _indices([text.places for text in texts], device)
    if head.weight is None:
        return _tensor(head(features[at]))
    rows, columns = _indices([text.spoken for text in texts], device)
    logprobs = _logprobs(trunk, features[rows, columns - 1], ids[rows, columns])
    total = torch.zeros(ids.shape, device=device).index_put((rows, columns), logprobs).cumsum(dim=1)
    return _tensor(head(features[at], total[at]))


def _indices(places: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows and columns of the places, in order."""
    rows = [row for row, some in enumerate(places) for _ in some]
    columns = [place for some in places for place in some]
    return torch.tensor(rows, device=device, dtype=torch.long), torch.tensor(
        columns, device=device, dtype=torch.long
    )


def _logprobs(trunk: Head, features: Tensor, targets: Tensor) -> Tensor:
    """Log-probabilities [n] of tokens, some at a time where the vocabulary is large."""
    size = max(1, LOGITS_AT_ONCE // trunk.vocabulary)
    parts = zip(torch.split(features, size), torch.split(targets, size), strict=True)
    return torch.cat(
        [checkpoint(_part, trunk, *part, use_reentrant=False, preserve_rng_state=False) for part in parts]
    )


def _part(trunk: Head, features: Tensor, targets: Tensor) -> Tensor:
    return -cross_entropy(trunk.logits(features), targets, reduction="none")


def _tensor(value: Any) -> Tensor:
    tensor: Tensor = value
    return tensor
