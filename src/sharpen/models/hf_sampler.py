"""Sampling from one decoder: by the short step where that gives the model's own logits, else by the model."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cached_property
from itertools import islice

import torch
from transformers import DynamicCache, PreTrainedModel

from sharpen.core.policy import Decoding
from sharpen.models.hf_batches import groups, rows_that_fit
from sharpen.models.hf_cache import is_full
from sharpen.models.hf_decode import Seats, decode_rows
from sharpen.models.hf_parts import Eager, Parts
from sharpen.models.hf_plain import PlainSeats
from sharpen.models.hf_rows import Drawn, Hear, Limits, Rows, Share
from sharpen.models.hf_seats import ShortSeats
from sharpen.models.hf_step import Stepper
from sharpen.models.hf_text import StopWatch

MOST_ROWS = 256
"""Rows that are decoded at a time."""
MOST_WAITING = 4096
"""Rows of one decode loop, most of which wait."""
ROUNDING = 100
"""Most units of rounding, of the largest logit, by which a step may differ from the model's."""
PROBED = 12
"""Tokens of the longest row on which the short step is tried."""


class Sampler:
    """Draws rows of one module."""

    def __init__(self, module: PreTrainedModel, *, most_rows: int = MOST_ROWS) -> None:
        """`module` is any causal language model; `most_rows` are decoded at a time."""
        self.module = module
        self.stepper = Stepper(module)
        self.most_rows = most_rows

    def of_twin(self, twin: PreTrainedModel) -> Sampler:
        """Samples from a module like this one but for rounding, over which a trial would stumble."""
        sampler = Sampler(twin, most_rows=self.most_rows)
        sampler.fits, sampler.stepper.own = self.fits, self.stepper.own
        return sampler

    def draw(
        self,
        wanted: Sequence[Share],
        decoding: Decoding,
        limits: Limits,
        watch: StopWatch,
        hear: Hear | None = None,
    ) -> list[list[Drawn]]:
        """One row per seed of every share, in order."""
        longest = max(
            (min(len(share.ids) + decoding.max_tokens, limits.context) for share in wanted), default=0
        )
        short = self.fits and self._keeps(longest)

        def fit(tokens: int) -> int:
            most = min(tokens + decoding.max_tokens, limits.context)
            return rows_that_fit(self.module, most, self.most_rows)

        drawn: list[list[Drawn]] = [[] for _ in wanted]
        # Rows that come in last end by themselves: the shortest should.
        most_rows = (lambda tokens: MOST_WAITING) if short else fit
        for group in groups(wanted, most_rows, longest_first=short):
            rows = Rows(group.shares, decoding, limits)
            seats: Seats
            if short:
                seats = ShortSeats(self.stepper, group.shares, fit, longest)
            else:
                seats = PlainSeats(self.module, group.shares, int(rows.most.max()))
            done = iter(decode_rows(seats, rows, watch, self.module.device, hear))
            for index, share in zip(group.indices, group.shares, strict=True):
                drawn[index].extend(islice(done, len(share.seeds)))
        return drawn

    @cached_property
    def fits(self) -> bool:
        """Whether the short step can be taken; says so once if it cannot."""
        fits = self.stepper.made and self._keeps(PROBED) and any(map(self._agrees, (None, Eager())))
        if not fits:
            kind = self.module.config.model_type
            print(
                f"Models of type {kind} are sampled by their own forward pass, which is slower.",
                file=sys.stderr,
            )
        return fits

    def _keeps(self, tokens: int) -> bool:
        """Whether every layer attends to so many tokens."""
        return all(is_full(layer, tokens) for layer in DynamicCache(config=self.module.config).layers)

    @torch.inference_mode()
    def _agrees(self, parts: Parts | None) -> bool:
        """Compare with the model's own logits: two rows with a common start, one of which comes in later."""
        self.stepper.own = parts
        device = self.module.device
        vocabulary = self.module.get_input_embeddings().num_embeddings
        first = (torch.arange(PROBED, device=device) * 7 + 3) % vocabulary
        second = torch.cat((first[:8], (first[8:] + 5) % vocabulary))
        shares = [Share(tuple(first[:10].tolist()), (0,)), Share(tuple(second[:9].tolist()), (1,))]
        seats = ShortSeats(self.stepper, shares, lambda tokens: 2, PROBED)
        both = torch.arange(2, device=device)
        found = [seats.reseat(both[:1], (0,))]
        seats.next(first[10:11])
        found += [seats.reseat(both, (1,)), seats.next(torch.stack((first[11], second[9])))]
        rows = (first[:10], second[:9], first, second[:10])
        wanted = torch.cat([self.module(input_ids=row[None]).logits[:, -1] for row in rows])
        allowed = ROUNDING * torch.finfo(wanted.dtype).eps * float(wanted.abs().max())
        got = torch.cat([logits for logits in found if logits is not None])
        return bool((got - wanted).abs().max() <= allowed)
