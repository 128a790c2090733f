"""Drawing tokens from logits: one uniform number per row, turned into a token by the inverse CDF.

Which token a row gets depends on its logits and its own uniform alone, never on its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

BLOCK = 128
BELOW_ONE = 1.0 - 2.0**-24


class Draw(NamedTuple):
    """Tokens [rows] and their log-probabilities [rows] before any top-p truncation."""

    tokens: Tensor
    logprobs: Tensor


def uniforms_for(seeds: Sequence[int], count: int) -> Tensor:
    """`count` uniform numbers in [0, 1) per seed, each row from its own Philox stream: [rows, count]."""
    rows = [np.random.Generator(np.random.Philox(key=seed)).random(count) for seed in seeds]
    numbers = torch.from_numpy(np.stack(rows)).to(torch.float32)
    return numbers.clamp_(max=BELOW_ONE)


def greedy(logits: Tensor) -> Draw:
    """The most likely token of each row of logits [rows, vocabulary]."""
    logits = logits.float()
    best, tokens = logits.max(dim=-1)
    return Draw(tokens, best - logits.logsumexp(dim=-1))


def draw(logits: Tensor, uniforms: Tensor, *, temperature: float, top_p: float) -> Draw:
    """One token per row of logits [rows, vocabulary] at its uniform [rows]; temperature must be > 0."""
    logits = logits.float() if temperature == 1 else logits.float() / temperature
    probabilities = logits.softmax(dim=-1)
    kept = nucleus(probabilities, top_p) if top_p < 1 else probabilities
    tokens = inverse_cdf(kept, uniforms)
    return Draw(tokens, probabilities.gather(1, tokens[:, None]).squeeze(1).log())


def inverse_cdf(weights: Tensor, uniforms: Tensor) -> Tensor:
    """Index at which the running sum of each row of weights [rows, n] passes its uniform share of the total.

    Wide rows are searched in two levels, so that only one block of each row is summed up element by element.
    """
    rows, width = weights.shape
    if width <= 4 * BLOCK:
        sums = weights.cumsum(dim=-1)
        return _first_above(sums, uniforms * sums[:, -1])
    padded = torch.nn.functional.pad(weights, (0, -width % BLOCK))
    blocks = padded.view(rows, -1, BLOCK)
    block_sums = blocks.sum(dim=-1).cumsum(dim=-1)
    share = uniforms * block_sums[:, -1]
    block = _first_above(block_sums, share)
    before = torch.nn.functional.pad(block_sums, (1, 0)).gather(1, block[:, None]).squeeze(1)
    inner_sums = blocks[torch.arange(rows, device=weights.device), block].cumsum(dim=-1)
    return block * BLOCK + _first_above(inner_sums, share - before)


def _first_above(sums: Tensor, share: Tensor) -> Tensor:
    """First index of each row of running sums that exceeds its share: never an index of zero weight."""
    total = sums[:, -1]
    share = torch.minimum(share, torch.nextafter(total, torch.zeros_like(total)))
    return (sums <= share[:, None]).sum(dim=-1)


def nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    """Zero all but the likeliest tokens that together reach `top_p`; ties at the edge stay in.

    Only tokens above (1 - top_p) / vocabulary can be among them, since all others together have less than
    1 - top_p; that leaves few to sort.
    """
    width = probabilities.shape[1]
    rows, columns = (probabilities > (1 - top_p) / width).nonzero(as_tuple=True)
    counts = torch.bincount(rows, minlength=len(probabilities))
    places = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[rows]
    ordered = probabilities.new_zeros(len(probabilities), int(counts.max()))
    ordered[rows, places] = probabilities[rows, columns]
    ordered = ordered.sort(dim=-1, descending=True).values
    needed = (ordered.cumsum(dim=-1) < top_p).sum(dim=-1).clamp(max=counts - 1)
    edge = ordered.gather(1, needed[:, None])
    return torch.where(probabilities >= edge, probabilities, 0.0)
