"""The decode loop: prompts prefilled once each, spread over their samples, finished rows dropped."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sharpen.core.attempt import Stop
from sharpen.models.base import Decoding
from sharpen.models.hf_cache import growing_cache
from sharpen.models.hf_step import Place, Stepper
from sharpen.models.hf_text import StopWatch
from sharpen.models.sampling import Draw, draw, greedy, uniforms_for

COMPACT_ABOVE = 0.15
"""Finished rows are dropped once they are such a share: dropping copies what is kept of the others."""
RUNNING = -1
Hear = Callable[[Sequence[int], Sequence[int]], None]
"""Hears of every step: the seeds of the rows that still run, and the token that each has drawn."""
STOPS = (Stop.END, Stop.STOP_TEXT, Stop.LENGTH)


class Share(NamedTuple):
    """One prompt of a batch: its token ids (with any forced start) and the seeds of its samples."""

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
    """The rows of one batch: what they drew and how they ended; all tensors lie on the model's device."""

    def __init__(
        self, shares: Sequence[Share], decoding: Decoding, limits: Limits, device: torch.device
    ) -> None:
        """One row per seed, in order."""
        seeds = [seed for share in shares for seed in share.seeds]
        room = [limits.context - len(share.ids) for share in shares for _ in share.seeds]
        self.seeds = seeds
        size, steps = len(seeds), min(decoding.max_tokens, max(room))
        self.decoding = decoding
        self.steps = steps
        self.eos = torch.tensor(limits.eos_ids, device=device)
        self.last_step = torch.tensor(room, device=device).clamp(max=steps) - 1
        self.tokens = torch.zeros(size, steps, dtype=torch.long, device=device)
        self.logprobs = torch.zeros(size, steps, device=device)
        self.ended = torch.full((size,), RUNNING, device=device)
        self.length = torch.full((size,), steps, device=device)
        self.active = torch.arange(size, device=device)
        self.uniforms = uniforms_for(seeds, steps).to(device) if decoding.temperature > 0 else None

    def draw(self, logits: Tensor, step: int) -> Tensor:
        """Draw one token for every active row from logits [active, vocabulary]."""
        drawn = self._choose(logits, step)
        self.tokens[self.active, step] = drawn.tokens
        self.logprobs[self.active, step] = drawn.logprobs
        return drawn.tokens

    def _choose(self, logits: Tensor, step: int) -> Draw:
        if self.uniforms is None:
            return greedy(logits)
        uniforms = self.uniforms[self.active, step]
        return draw(logits, uniforms, temperature=self.decoding.temperature, top_p=self.decoding.top_p)

    def settle(self, tokens: Tensor, step: int, watch: StopWatch) -> Tensor:
        """Mark the rows that end with this step; mask [active] of the rows that go on."""
        reason = torch.where(self.last_step[self.active] <= step, 2, RUNNING)
        reason[watch.found(self.tokens, self.active, step)] = 1
        reason[torch.isin(tokens, self.eos)] = 0
        running = self.ended[self.active] == RUNNING
        ending = self.active[running & (reason != RUNNING)]
        self.ended[ending] = reason[running & (reason != RUNNING)]
        self.length[ending] = step + 1
        return running & (reason == RUNNING)

    def tell(self, hear: Hear, tokens: Tensor) -> None:
        """Say what the rows that still run have just drawn."""
        going = (self.ended[self.active] == RUNNING).nonzero().flatten()
        hear([self.seeds[row] for row in self.active[going].tolist()], tokens[going].tolist())

    def results(self) -> list[Drawn]:
        """Every row's tokens up to its end."""
        columns = (self.tokens, self.logprobs, self.length, self.ended)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return [Drawn(tokens[:n], logprobs[:n], STOPS[end]) for tokens, logprobs, n, end in rows]


class Steps:
    """The model's side of a batch: cache, attention mask and positions."""

    def __init__(self, stepper: Stepper, shares: Sequence[Share], max_new: int) -> None:
        """Prompts are padded on the left to the longest; without padding no mask is needed."""
        module = stepper.module
        device = module.device
        self.module, self.stepper = module, stepper
        self.length = max(len(share.ids) for share in shares)
        self.cache = growing_cache(module.config, self.length + max_new)
        self.ids = torch.tensor(
            [[0] * (self.length - len(s.ids)) + list(s.ids) for s in shares], device=device
        )
        self.padding = torch.tensor([self.length - len(share.ids) for share in shares], device=device)
        columns = torch.arange(self.length + max_new, device=device)
        self.padded = any(len(share.ids) < self.length for share in shares)
        self.mask = (columns >= self.padding[:, None]).long()
        self.unseen = self.mask == 0
        self.tables = stepper.tables(self.length + max_new) if stepper.suits(self.cache) else None
        self.has_positions = "position_ids" in inspect.signature(module.forward).parameters

    def prefill(self, rows_of: Tensor) -> Tensor:
        """Run the prompts once each; return the next-token logits of the rows, [rows, vocabulary]."""
        logits = self._forward(self.ids, 0)
        self.keep(rows_of)
        return logits[rows_of]

    def next(self, tokens: Tensor) -> Tensor:
        """Append one token per row; return the next-token logits."""
        self.length += 1
        if self.tables is None:
            return self._forward(tokens[:, None], self.length - 1)
        positions = self.length - 1 - self.padding
        place = Place(positions, self.tables, self.unseen if self.padded else None)
        return self.stepper.step(tokens, place, self.cache.layers)

    def keep(self, rows: Tensor) -> None:
        """Keep (or repeat) these rows of the batch, in this order."""
        self.cache.batch_select_indices(rows)
        self.mask, self.unseen, self.padding = self.mask[rows], self.unseen[rows], self.padding[rows]

    def _forward(self, ids: Tensor, start: int) -> Tensor:
        extra: dict[str, Any] = {}
        if self.padded:
            extra["attention_mask"] = self.mask[:, : self.length]
        if self.has_positions:
            columns = torch.arange(start, self.length, device=ids.device)
            extra["position_ids"] = (columns - self.padding[:, None]).clamp_(min=0)
        output = self.module(
            input_ids=ids, past_key_values=self.cache, use_cache=True, logits_to_keep=1, **extra
        )
        logits: Tensor = output.logits[:, -1]
        return logits


@torch.inference_mode()
def decode_batch(
    stepper: Stepper,
    shares: Sequence[Share],
    decoding: Decoding,
    limits: Limits,
    watch: StopWatch,
    hear: Hear | None = None,
) -> list[Drawn]:
    """Draw every row of a batch; rows come back prompt by prompt, in the order of the seeds."""
    rows = Rows(shares, decoding, limits, stepper.module.device)
    steps = Steps(stepper, shares, rows.steps)
    rows_of = [index for index, share in enumerate(shares) for _ in share.seeds]
    logits = steps.prefill(torch.tensor(rows_of, device=stepper.module.device))
    for step in range(rows.steps):
        tokens = rows.draw(logits, step)
        if hear is not None:
            rows.tell(hear, tokens)
        going = rows.settle(tokens, step, watch)
        count = int(going.sum())
        if count == 0:
            break
        if count < (1 - COMPACT_ABOVE) * len(going):
            places = going.nonzero().flatten()
            rows.active, tokens = rows.active[places], tokens[places]
            steps.keep(places)
        logits = steps.next(tokens)
    return rows.results()
