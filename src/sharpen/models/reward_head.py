"""A decoder that scores instead of writing: its trunk, and two linear layers in the place of its own head.

The trunk is the decoder of a run, with whatever weights are loaded; a reward model is those weights and the
two layers. The score of a text is read off the features of a token: of the last one for the whole response,
of the last one of a line for what was said so far (causal attention never looks further).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sharpen.models.hf_file import read_checked, save_tensors
from sharpen.models.hf_head import Head, batches
from sharpen.models.hf_weights import copy_into

HEAD_FILE = "head.safetensors"
SCORED_TOKENS = 8192
"""Most token places in one forward pass."""


class RewardHead(nn.Sequential):
    """Features [n, width] -> scores [n, 1]."""

    def __init__(self, width: int) -> None:
        """`width` is that of the trunk's features."""
        super().__init__(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
        self.width = width


def feature_width(head: Head) -> int:
    """Width of a decoder's features."""
    with torch.no_grad():
        return int(head.features(torch.ones(1, 1, dtype=torch.long, device=head.module.device)).shape[-1])


def fresh_head(width: int, seed: int, device: torch.device) -> RewardHead:
    """Untrained layers drawn from a seed of their own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return RewardHead(width).to(device)


def save_head(head: RewardHead, target: Path) -> None:
    """Write the layers."""
    save_tensors(target, head.state_dict(), {"width": head.width})


def read_head(path: Path, device: torch.device) -> RewardHead:
    """The layers in a file; Damaged if it is none."""
    contents = read_checked(path)
    head = RewardHead(int(str(contents.facts["width"])))
    copy_into(head.state_dict(), contents.tensors, path)
    return head.to(device)


def scores_at(
    trunk: Head, head: RewardHead, texts: Sequence[Sequence[int]], places: Sequence[Sequence[int]]
) -> list[Tensor]:
    """For every text (token ids), the scores [m] at its m places; float32, with gradient where it is on.

    In training, passes but one are computed again when gradients need them, so that memory does not grow.
    """
    found: list[Tensor] = [torch.empty(0)] * len(texts)
    groups = batches([len(text) for text in texts], SCORED_TOKENS)
    for group in groups:
        rows, wanted = [texts[i] for i in group], [places[i] for i in group]
        if torch.is_grad_enabled() and len(groups) > 1:
            flat = checkpoint(
                _scores, trunk, head, rows, wanted, use_reentrant=False, preserve_rng_state=False
            )
        else:
            flat = _scores(trunk, head, rows, wanted)
        for index, part in zip(group, torch.split(flat, [len(some) for some in wanted]), strict=True):
            found[index] = part
    return found


def _scores(
    trunk: Head, head: RewardHead, texts: Sequence[Sequence[int]], places: Sequence[Sequence[int]]
) -> Tensor:
    device, width = trunk.module.device, max(map(len, texts))
    ids = torch.tensor([[*text, *[0] * (width - len(text))] for text in texts], device=device)
    rows = torch.tensor([row for row, some in enumerate(places) for _ in some], device=device)
    columns = torch.tensor([place for some in places for place in some], device=device)
    features = trunk.features(ids)[rows, columns]
    scores: Tensor = head(features.float())[:, 0]
    return scores
