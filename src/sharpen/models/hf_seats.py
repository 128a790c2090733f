"""Seats of the short step: rows come in as others end.

A token's column in the store is the same for all rows at a step, whenever a row came in: keys are turned by
their position before they are kept, so the order of columns means nothing, and a row is kept from seeing
columns older than itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor

from sharpen.models.hf_decode import DROP_ABOVE
from sharpen.models.hf_kept import COLUMNS, Kept, Layout, Move, Start
from sharpen.models.hf_parts import Place
from sharpen.models.hf_prompts import Prompts, Reader
from sharpen.models.hf_rows import Share
from sharpen.models.hf_step import Stepper

LONG = 64
"""Tokens from which on a prompt is not copied to its rows."""
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
        self.fit = cache(rows_that_fit)
        self.device = stepper.module.device
        self.tables = stepper.tables(longest)
        self.plan, self.parts = stepper.plan(), stepper.parts
        self.last = longest - 1
        self.of: list[int] = []
        """Every row's prompt."""
        self.longest = 0
        """Tokens of the longest of them."""
        self.layers: list[Kept] = []
        rows = sum(len(share.seeds) for share in shares)
        long = rows >= 2 * len(shares) and max(len(share.ids) for share in shares) >= LONG
        self.shared = self.parts.by_row or long
        """Whether rows attend to prompts where those are kept, and hold no copies: always where that costs
        nothing, else where prompts are long enough and have enough rows."""
        self.gridded = self.shared and not self.parts.by_row
        """Whether they do so in one product for all prompts, whether or not these have rows."""
        self.prompts = Prompts(Reader(stepper.module, [share.ids for share in shares]), lean=self.gridded)
        self.born = torch.zeros(0, dtype=torch.long, device=self.device)
        """[rows]: a row's first column."""
        self.used = 0
        """Columns with tokens."""

    def takes(self, running: int, waiting: Sequence[int]) -> int:
        """As many as there is room for, once that is worth the copying."""
        if not waiting or running > (1 - DROP_ABOVE) * self._fit(waiting[0]):
            return 0
        self.prompts.coming = waiting
        known, unread = set(self.prompts.numbers), 0
        for place, prompt in enumerate(waiting):
            unread += 0 if prompt in known else self.prompts.unread(prompt)
            known.add(prompt)
            if running + place >= self._fit(prompt) or (place and unread > READ_AT_ONCE):
                return place
        return len(waiting)

    def _fit(self, prompt: int) -> int:
        """Most rows with one of this prompt among them."""
        return self.fit(max(self.longest, len(self.shares[prompt].ids)))

    def reseat(self, order: Tensor, fresh: Sequence[int]) -> Tensor | None:
        """Let rows go, read new prompts, forget those without rows, begin others."""
        before = [*self.of, *fresh]
        self.of = [before[number] for number in order.tolist()]
        self.longest = max((len(self.shares[prompt].ids) for prompt in set(self.of)), default=0)
        self.layers = self.prompts.kept_for(self.of, self.layers)
        places = self.prompts.places(self.of)
        self._move(order, places)
        self._lay_out(places)
        return self.prompts.logits[self.prompts.places(fresh)] if fresh else None

    def _move(self, order: Tensor, prompts: Tensor) -> None:
        """Seat rows in this order, and begin the new ones; `prompts` are the places of all rows' prompts."""
        fresh, staying = (order >= len(self.born)).nonzero().flatten(), order < len(self.born)
        begun = torch.zeros_like(fresh) if self.shared else self.prompts.lengths[prompts[fresh]]
        longest = max(begun.tolist(), default=0)
        wider = not self._has_room(len(order), longest)
        columns = slice(min(self.born[order[staying]].tolist(), default=self.used) if wider else 0, self.used)
        self.used = max(columns.stop - columns.start, longest)
        self.born = torch.cat((self.born + (self.used - columns.stop), self.used - begun))[order]
        if not wider:
            staying = staying & (order != torch.arange(len(order), device=self.device))
        moved = staying.nonzero().flatten()
        start = self._start(fresh, prompts, longest) if longest else None
        for layer in self.layers:
            layer.keep_rows(Move(len(order), moved, order[moved], columns, self.used, wider, start))

    def _has_room(self, rows: int, longest: int) -> bool:
        """Whether so many rows, of which new ones begin with so many tokens, fit into the room there is."""
        seats, _, columns, _ = self.layers[0].room[0].shape
        return rows <= seats and longest <= self.used < columns

    def _start(self, fresh: Tensor, prompts: Tensor, longest: int) -> Start:
        """What rows in these places begin with."""
        tail = torch.arange(longest, device=self.device) - longest
        columns = (tail + self.prompts.lengths[prompts[fresh], None]).clamp_(min=0)
        return Start(fresh, prompts[fresh, None], columns)

    def _lay_out(self, places: Tensor) -> None:
        """The layout of rows whose prompts stand in these places, and the position of their next tokens."""
        lengths = self.prompts.lengths[places] if self.shared else torch.zeros_like(places)
        self.position = self.used - self.born + lengths
        grid = _grid(places.tolist(), len(self.prompts.numbers), self.device) if self.gridded else None
        unseen = None if self.parts.by_row else self._unseen(lengths)
        self.layout = Layout(grid, unseen, self.born, places, lengths)

    def _unseen(self, lengths: Tensor) -> Tensor | None:
        """What rows may not see, as a layout has it."""
        unseen = torch.arange(self.used + COLUMNS, device=self.device) < self.born[:, None]
        if self.shared:
            columns = torch.arange(self.layers[0].prompts[0].shape[2], device=self.device)
            unseen = torch.cat((columns >= lengths[:, None], unseen), dim=1)
        return unseen if bool(unseen.any()) else None

    def next(self, tokens: Tensor) -> Tensor:
        """Append one token per row, after making room for it if there is none."""
        if self.used == self.layers[0].rows[0].shape[2]:
            self.reseat(torch.arange(len(tokens), device=self.device), ())
        place = Place(self.position, self.tables, self.used, self.layout, self.parts)
        logits = self.stepper.step(tokens, place, self.layers, self.plan)
        self.used += 1
        # Rows that have ended are drawn for until they are dropped.
        self.position = (self.position + 1).clamp_(max=self.last)
        return logits


def _grid(places: Sequence[int], prompts: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows by the places of their prompts, as a layout has them."""
    most = max(Counter(places).values(), default=1)
    met: Counter[int] = Counter()
    seats = []
    for place in places:
        seats.append(place * most + met[place])
        met[place] += 1
    seat = torch.tensor(seats, dtype=torch.long, device=device)
    grid = seat.new_zeros(prompts * most)
    grid[seat] = torch.arange(len(places), device=device)
    return grid, seat
