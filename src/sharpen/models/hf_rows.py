"""The rows of a decode loop: what they are to draw, what they drew, and how they ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sharpen.core.attempt import Stop
from sharpen.core.policy import Decoding
from sharpen.models.hf_native import drawn
from sharpen.models.hf_text import StopWatch
from sharpen.models.sampling import Draw, draw, greedy, uniforms_for

RUNNING = -1
STOPS = (Stop.END, Stop.STOP_TEXT, Stop.LENGTH)
Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
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


class Rows:
    """What all rows drew and how they ended, by their numbers, beside the model: in arrays on the host."""

    def __init__(self, shares: Sequence[Share], decoding: Decoding, limits: Limits) -> None:
        """One row per seed, prompt by prompt."""
        self.seeds = [seed for share in shares for seed in share.seeds]
        self.prompts = [place for place, share in enumerate(shares) for _ in share.seeds]
        room = np.array([limits.context - len(shares[prompt].ids) for prompt in self.prompts])
        self.decoding = decoding
        self.most = room.clip(max=decoding.max_tokens)
        self.eos = limits.eos_ids
        # A row that has ended goes on until it is dropped; what it draws lands in a column of its own.
        size, columns = len(self.seeds), int(self.most.max()) + 1
        self.tokens = np.zeros((size, columns), np.int64)
        self.logprobs = np.zeros((size, columns), np.float32)
        self.length = np.zeros(size, np.int64)
        self.ended = np.full(size, RUNNING)
        self.uniforms = uniforms_for(self.seeds, columns).numpy() if decoding.temperature > 0 else None

    def draw(self, rows: Numbers, logits: Tensor, watch: StopWatch, hear: Hear | None) -> Tensor:
        """Draw one token for every one of these rows from logits [rows, vocabulary]; mark those that end."""
        before, length = self.ended[rows], self.length[rows]
        going = before == RUNNING
        step = np.where(going, length, self.tokens.shape[1] - 1)
        found = self._choose(logits, rows, step)
        tokens = found.tokens.cpu().numpy()
        self.tokens[rows, step] = tokens
        self.logprobs[rows, step] = found.logprobs.cpu().numpy()
        if hear is not None:
            hear([self.seeds[row] for row in rows[going].tolist()], tokens[going].tolist())
        length += going
        self.length[rows] = length
        reason = np.where(length >= self.most[rows], 2, RUNNING)
        reason[watch.found(self.tokens, rows, step)] = 1
        for end in self.eos:
            reason[tokens == end] = 0
        self.ended[rows] = np.where(going, reason, before)
        return found.tokens

    def _choose(self, logits: Tensor, rows: Numbers, step: Numbers) -> Draw:
        if self.uniforms is None:
            return greedy(logits)
        uniforms = torch.from_numpy(self.uniforms[rows, step]).to(logits.device)
        temperature, top_p = self.decoding.temperature, self.decoding.top_p
        fast = drawn(logits, uniforms, temperature) if top_p == 1 else None
        return fast or draw(logits, uniforms, temperature=temperature, top_p=top_p)

    def running(self, rows: Numbers) -> Mask:
        """Those of these rows that have not ended."""
        mask: Mask = self.ended[rows] == RUNNING
        return mask

    def results(self) -> list[Drawn]:
        """Every row's tokens up to its end."""
        columns = (self.tokens, self.logprobs, self.length, self.ended)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return [Drawn(tokens[:n], logprobs[:n], STOPS[end]) for tokens, logprobs, n, end in rows]
