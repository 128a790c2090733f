"""Seats of the short step: rows come in as others end.

A token's column in the store is the same for all rows at a step, whenever a row came in: keys are turned by
their position before they are kept, so the order of columns means nothing, and a row is kept from seeing
columns older than itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sharpen.models.hf_decode import DROP_ABOVE, Share
from sharpen.models.hf_kept import COLUMNS, Kept, Layout
from sharpen.models.hf_prompts import Reader
from sharpen.models.hf_step import Place, Stepper

READ_AT_ONCE = 8192
"""Tokens of prompts that are read in one go."""


class ShortSeats:
    """Rows that are decoded with the short step."""

    def __init__(
        self, stepper: Stepper, shares: Sequence[Share], rows_that_fit: Callable[[int], int], longest: int
    ) -> None:
        """rows_that_fit: tokens of a prompt -> most rows at a time. longest: most tokens of any row."""
        self.stepper = stepper
        self.shares = shares
        self.fit = rows_that_fit
        self.device = stepper.module.device
        self.tables = stepper.tables(longest)
        self.last = longest - 1
        self.reader = Reader(stepper.module, [share.ids for share in shares])
        self.prompts: list[int] = []
        """Numbers of the prompts that are kept."""
        self.of: list[int] = []
        """Every row's prompt."""
        self.layers: list[Kept] = []
        self.logits = torch.empty(0)
        self.born = torch.zeros(0, dtype=torch.long, device=self.device)
        """[rows]: a row's first column."""
        self.used = 0
        """Columns with tokens."""

    def takes(self, running: int, waiting: Sequence[int]) -> int:
        """As many as there is room for, once that is worth the copying."""
        if not waiting or running > (1 - DROP_ABOVE) * self._fit(waiting[0]):
            return 0
        known, unread = set(self.prompts), 0
        for place, prompt in enumerate(waiting):
            unread += 0 if prompt in known else len(self.shares[prompt].ids) - len(self.reader.start)
            known.add(prompt)
            if running + place >= self._fit(prompt) or (place and unread > READ_AT_ONCE):
                return place
        return len(waiting)

    def _fit(self, prompt: int) -> int:
        return self.fit(len(self.shares[prompt].ids))

    def reseat(self, kept: Tensor, fresh: Sequence[int]) -> Tensor | None:
        """Drop rows, read new prompts, forget those without rows, move what stays together."""
        self.of = [self.of[place] for place in kept.tolist()] + list(fresh)
        self._keep_prompts()
        first = int(self.born[kept].min()) if len(kept) else self.used
        columns = slice(first, self.used)
        for layer in self.layers:
            layer.keep_rows(kept, columns, len(fresh))
        self.used -= first
        self.born = torch.cat((self.born[kept] - first, self.born.new_full((len(fresh),), self.used)))
        self._lay_out()
        if not fresh:
            return None
        order = {prompt: place for place, prompt in enumerate(self.prompts)}
        return self.logits[[order[prompt] for prompt in fresh]]

    def _keep_prompts(self) -> None:
        wanted = set(self.of)
        staying = [place for place, prompt in enumerate(self.prompts) if prompt in wanted]
        unread = sorted(wanted - set(self.prompts))
        if not unread and len(staying) == len(self.prompts):
            return
        places = torch.tensor(staying, dtype=torch.long, device=self.device)
        read = self.reader.read(unread) if unread else None
        self.prompts = [self.prompts[place] for place in staying] + unread
        if not self.layers:
            assert read is not None
            self.layers = [Kept(*states) for states in read.states]
            self.logits = read.logits
            return
        for number, layer in enumerate(self.layers):
            layer.keep_prompts(places, read and read.states[number])
        self.logits = torch.cat([self.logits[places], *([read.logits] if read else [])])

    def _lay_out(self) -> None:
        """The layout of rows and prompts, and the position of every row's next token."""
        order = {prompt: place for place, prompt in enumerate(self.prompts)}
        places = [order[prompt] for prompt in self.of]
        most = max(Counter(places).values(), default=1)
        met: Counter[int] = Counter()
        seats = []
        for place in places:
            seats.append(place * most + met[place])
            met[place] += 1
        seat = torch.tensor(seats, dtype=torch.long, device=self.device)
        grid = seat.new_zeros(len(self.prompts) * most)
        grid[seat] = torch.arange(len(places), device=self.device)
        lengths = torch.tensor([len(self.shares[p].ids) for p in self.of], device=self.device)
        self.position = lengths + self.used - self.born
        alone = seats == list(range(len(self.prompts)))
        self.layout = Layout(None if alone else (grid, seat), self._unseen(lengths))

    def _unseen(self, lengths: Tensor) -> Tensor | None:
        width = self.layers[0].prompts[0].shape[2]
        columns = torch.arange(max(width, self.used + COLUMNS), device=self.device)
        parts = (
            columns[:width] >= lengths[:, None],
            columns[: self.used + COLUMNS] < self.born[:, None],
        )
        unseen = torch.cat(parts, dim=1)
        return unseen if bool(unseen.any()) else None

    def next(self, tokens: Tensor) -> Tensor:
        """Append one token per row, after making room for it if there is none."""
        if self.used == self.layers[0].rows[0].shape[2]:
            self.reseat(torch.arange(len(tokens), device=self.device), ())
        logits = self.stepper.step(
            tokens, Place(self.position, self.tables, self.used, self.layout), self.layers
        )
        self.used += 1
        # Rows that have ended are drawn for until they are dropped.
        self.position = (self.position + 1).clamp_(max=self.last)
        return logits
