"""The decode loop: rows that end make room for rows that wait, and what is drawn depends on neither.

Every row's tokens follow from its prompt and its seed. How many rows are decoded at a time, and which, only
decides how fast that goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from sharpen.models.hf_rows import Drawn, Hear, Mask, Numbers, Rows
from sharpen.models.hf_text import StopWatch

DROP_ABOVE = 0.15
"""Rows that ended are dropped once they are such a share: dropping copies what is kept of the others."""


class Seats(Protocol):
    """The model's side: the rows being decoded, in order, with what it keeps of them."""

    def takes(self, running: int, waiting: Sequence[int]) -> int:
        """How many of the rows that wait, given by their prompts' numbers, come in now."""

    def reseat(self, order: Tensor, fresh: Sequence[int]) -> Tensor | None:
        """Let rows go and begin one for each of these prompts; next-token logits of the new ones, if any.

        order: [rows afterwards], who sits in each place: the number of a row in what it was before, behind
        which the new ones are thought to stand. See `seating`.
        """

    def next(self, tokens: Tensor) -> Tensor:
        """Append one token per row; next-token logits [rows, vocabulary]."""


def seating(going: Mask, fresh: int) -> Numbers:
    """An order of the rows that go on and so many new ones in which most keep their place.

    New rows, and those that stand too far back, take the places of rows that have ended.
    """
    places = np.arange(len(going) + fresh)
    after = int(going.sum()) + fresh
    staying = np.concatenate((going, np.zeros(fresh, bool)))
    order = places[:after].copy()
    order[~staying[:after]] = np.concatenate((places[after:][staying[after:]], places[len(going) :]))
    return order


@torch.inference_mode()
def decode_rows(
    seats: Seats, rows: Rows, watch: StopWatch, device: torch.device, hear: Hear | None = None
) -> list[Drawn]:
    """Draw every row, in as many at a time as `seats` takes; results are in the order of the rows.

    device: where the model is.
    """
    active, tokens = np.zeros(0, np.int64), torch.zeros(0, dtype=torch.long, device=device)
    begun = 0
    while True:
        going = rows.running(active)
        count = int(going.sum())
        if count == 0 and begun == len(rows.seeds):
            return rows.results()
        taken = seats.takes(count, rows.prompts[begun:])
        if taken or count < (1 - DROP_ABOVE) * len(active):
            chosen = seating(going, taken)
            order = torch.from_numpy(chosen).to(device)
            logits = seats.reseat(order, rows.prompts[begun : begun + taken])
            fresh = np.arange(begun, begun + taken)
            told = tokens[:0] if logits is None else rows.draw(fresh, logits, watch, hear)
            active, tokens = np.concatenate((active, fresh))[chosen], torch.cat((tokens, told))[order]
            begun += taken
            if taken:
                continue
        tokens = rows.draw(active, seats.next(tokens), watch, hear)
