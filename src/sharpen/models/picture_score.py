"""A small network that says how well a picture fits its caption; learners train it, judges ask it.

How captions are read is taken over from a painter and stays as it is: a few hundred pictures cannot teach it.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from sharpen.models.captions import Captions
from sharpen.models.hf_file import read_checked, save_tensors
from sharpen.models.hf_weights import copy_into

WIDTH = 64


class PictureScore(nn.Module):
    """Picture and caption -> a score with mean 0 and spread 1 over the pictures it learnt from."""

    mean: Tensor
    spread: Tensor

    def __init__(self, size: int, told: int) -> None:
        """`size` is the side of the pictures in pixels, even; `told` the width of read captions."""
        super().__init__()
        self.size, self.told = size, told
        self.look = nn.Sequential(
            nn.Conv2d(3, WIDTH, size // 2, stride=size // 2),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(4 * WIDTH, 2 * WIDTH),
            nn.SiLU(),
            nn.Linear(2 * WIDTH, WIDTH),
        )
        self.read = Captions(told).requires_grad_(False)
        self.weigh = nn.Linear(told, WIDTH)
        self.fit = nn.Sequential(nn.Linear(3 * WIDTH, WIDTH), nn.SiLU(), nn.Linear(WIDTH, 1))
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("spread", torch.ones(()))

    def forward(self, pictures: Tensor, ids: Tensor) -> Tensor:
        """B x 3 x S x S from -1 to 1, B x PLACES -> B scores."""
        seen, told = self.look(pictures), self.weigh(self.read(ids))
        raw = self.fit(torch.cat([seen, told, seen * told], dim=1))[:, 0]
        scores: Tensor = (raw - self.mean) / self.spread
        return scores


def fresh_score(size: int, reader: Captions, seed: int) -> PictureScore:
    """A network that reads captions as `reader` does and has still to learn the rest, from this seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = PictureScore(size, reader.mix.out_features // 2)
        net.read.load_state_dict(reader.state_dict())
        return net


def save_score(net: PictureScore, target: Path) -> None:
    """Write the network."""
    save_tensors(target, net.state_dict(), {"size": net.size, "told": net.told})


def read_score(path: Path) -> PictureScore:
    """The network in a file; Damaged if it is none."""
    contents = read_checked(path)
    net = PictureScore(int(str(contents.facts["size"])), int(str(contents.facts["told"])))
    copy_into(net.state_dict(), contents.tensors, path)
    return net.eval().requires_grad_(False)
