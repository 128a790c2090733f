"""The decode loop: rows that end make room for rows that wait, and what is drawn depends on neither.

Every row's tokens follow from its prompt and its seed. How many rows are decoded at a time, and which, only
decides how fast that goes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from sharpen.core.attempt import Stop
from sharpen.models.base import Decoding
from sharpen.models.hf_text import StopWatch
from sharpen.models.sampling import Draw, draw, greedy, uniforms_for

DROP_ABOVE = 0.15
"""Rows that ended are dropped once they are such a share: dropping copies what is kept of the others."""
RUNNING = -1
STOPS = (Stop.END, Stop.STOP_TEXT, Stop.LENGTH)
Hear = Callable[[Sequence[int], Sequence[int]], None]
"""Hears of every step: the seeds of the rows that still run, and the token that each has drawn."""


class Share(NamedTuple):
    """One prompt: its token ids (with any forced start) and the seeds of its samples."""

    ids: tuple[int, ...]
    seeds: tuple[int, ...]


class Drawn(NamedTuple):
    """What one row drew, and why it ended."""

    token_ids: list[int]
    logprobs: list[float]
    stop: Stop


class Limits(NamedTuple):
    """What ends a row."""

    eos_ids: tuple[int, ...]
    context: int


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


class Rows:
    """What all rows drew and how they ended, by their numbers; tensors lie on the model's device."""

    def __init__(
        self, shares: Sequence[Share], decoding: Decoding, limits: Limits, device: torch.device
    ) -> None:
        """One row per seed, prompt by prompt."""
        self.seeds = [seed for share in shares for seed in share.seeds]
        self.prompts = [place for place, share in enumerate(shares) for _ in share.seeds]
        room = torch.tensor([limits.context - len(shares[prompt].ids) for prompt in self.prompts])
        self.decoding = decoding
        self.most = room.clamp(max=decoding.max_tokens).to(device)
        self.eos = torch.tensor(limits.eos_ids, device=device)
        # A row that has ended goes on until it is dropped; what it draws lands in a column of its own.
        size, columns = len(self.seeds), int(self.most.max()) + 1
        self.tokens = torch.zeros(size, columns, dtype=torch.long, device=device)
        self.logprobs = torch.zeros(size, columns, device=device)
        self.length = torch.zeros(size, dtype=torch.long, device=device)
        self.ended = torch.full((size,), RUNNING, device=device)
        self.uniforms = uniforms_for(self.seeds, columns).to(device) if decoding.temperature > 0 else None

    def draw(self, rows: Tensor, logits: Tensor, watch: StopWatch, hear: Hear | None) -> Tensor:
        """Draw one token for every one of these rows from logits [rows, vocabulary]; mark those that end."""
        going = self.running(rows)
        step = torch.where(going, self.length[rows], self.tokens.shape[1] - 1)
        drawn = self._choose(logits, rows, step)
        self.tokens[rows, step] = drawn.tokens
        self.logprobs[rows, step] = drawn.logprobs
        if hear is not None:
            hear([self.seeds[row] for row in rows[going].tolist()], drawn.tokens[going].tolist())
        self.length[rows] += going
        reason = torch.where(self.length[rows] >= self.most[rows], 2, RUNNING)
        reason[watch.found(self.tokens, rows, step)] = 1
        reason[torch.isin(drawn.tokens, self.eos)] = 0
        self.ended[rows] = torch.where(going, reason, self.ended[rows])
        return drawn.tokens

    def _choose(self, logits: Tensor, rows: Tensor, step: Tensor) -> Draw:
        if self.uniforms is None:
            return greedy(logits)
        uniforms = self.uniforms[rows, step]
        return draw(logits, uniforms, temperature=self.decoding.temperature, top_p=self.decoding.top_p)

    def running(self, rows: Tensor) -> Tensor:
        """Mask of those of these rows that have not ended."""
        return self.ended[rows] == RUNNING

    def results(self) -> list[Drawn]:
        """Every row's tokens up to its end."""
        columns = (self.tokens, self.logprobs, self.length, self.ended)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return [Drawn(tokens[:n], logprobs[:n], STOPS[end]) for tokens, logprobs, n, end in rows]


def seating(going: Tensor, fresh: int) -> Tensor:
    """An order of the rows that go on and so many new ones in which most keep their place.

    New rows, and those that stand too far back, take the places of rows that have ended.
    """
    rows = len(going)
    places = torch.arange(rows + fresh, device=going.device)
    after = int(going.sum()) + fresh
    staying = torch.cat((going, torch.zeros_like(places[rows:], dtype=torch.bool)))
    order = places[:after].clone()
    order[~staying[:after]] = torch.cat((places[after:][staying[after:]], places[rows:]))
    return order


@torch.inference_mode()
def decode_rows(seats: Seats, rows: Rows, watch: StopWatch, hear: Hear | None = None) -> list[Drawn]:
    """Draw every row, in as many at a time as `seats` takes; results are in the order of the rows."""
    device, total = rows.tokens.device, len(rows.seeds)
    active = tokens = torch.zeros(0, dtype=torch.long, device=device)
    begun = 0
    while True:
        going = rows.running(active)
        count = int(going.sum())
        if count == 0 and begun == total:
            return rows.results()
        taken = seats.takes(count, rows.prompts[begun:])
        if taken or count < (1 - DROP_ABOVE) * len(active):
            order = seating(going, taken)
            logits = seats.reseat(order, rows.prompts[begun : begun + taken])
            fresh = torch.arange(begun, begun + taken, device=device)
            drawn = fresh if logits is None else rows.draw(fresh, logits, watch, hear)
            active, tokens = torch.cat((active, fresh))[order], torch.cat((tokens, drawn))[order]
            begun += taken
            if taken:
                continue
        tokens = rows.draw(active, seats.next(tokens), watch, hear)
