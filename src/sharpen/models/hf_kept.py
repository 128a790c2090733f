"""What the short step keeps of prompts and rows, and attention to it.

A layer has two stores, one of prompts, each kept once for all its rows, and one of the tokens that rows draw.
Attention to prompts is then one product for all rows of a prompt.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

COLUMNS = 32
"""Tokens of every row for which there is room at a time."""


class Layout(NamedTuple):
    """Which rows belong to which prompt, and what they may not see."""

    grid: tuple[Tensor, Tensor] | None
    """[prompts * most]: rows by their prompts, each prompt's share filled up with row 0 to the largest; then
    [rows]: where in there a row stands. None if every row stands at its prompt's own place."""
    unseen: Tensor | None
    """[rows, columns of prompts and rows]: True where a row must not look; None if it may everywhere."""


class Kept:
    """Keys and values of one layer."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        """Of prompts, [prompts, heads, tokens, width] each; there are no rows yet."""
        self.prompts = (keys, values)
        none = keys.new_zeros(0, keys.shape[1], 0, keys.shape[3])
        self.rows = (none, none)

    def keep_prompts(self, places: Tensor, more: tuple[Tensor, Tensor] | None) -> None:
        """Keep these prompts, and add others."""
        kept = [store[places] for store in self.prompts]
        if more is not None:
            kept = [_joined(one, other) for one, other in zip(kept, more, strict=True)]
        self.prompts = (kept[0], kept[1])

    def keep_rows(self, places: Tensor, columns: slice, fresh: int) -> None:
        """Keep these columns of these rows, and make room for more of both."""
        self.rows = (self._moved(0, places, columns, fresh), self._moved(1, places, columns, fresh))

    def _moved(self, which: int, places: Tensor, columns: slice, fresh: int) -> Tensor:
        store = self.rows[which]
        used = columns.stop - columns.start
        # Zeros: a column of weight 0 must not hold what was in memory before, which may be no number.
        room = store.new_zeros(len(places) + fresh, store.shape[1], used + COLUMNS, store.shape[3])
        if used:
            room[: len(places), :, :used] = store[places, :, columns]
        return room

    def append(self, column: int, keys: Tensor, values: Tensor) -> None:
        """A token of every row, [rows, heads, width]."""
        self.rows[0][:, :, column] = keys
        self.rows[1][:, :, column] = values

    def attend(self, queries: Tensor, scale: float, used: int, layout: Layout) -> Tensor:
        """Attention of one query per row and head, [rows, heads, width], to its prompt and its own tokens."""
        rows, heads, width = queries.shape
        groups = self.rows[0].shape[1]
        keys, values = (store.flatten(0, 1)[:, :used] for store in self.rows)
        count, _, length, _ = self.prompts[0].shape
        queries = queries * scale

        def by_prompt(states: Tensor) -> Tensor:
            """[rows, heads, n] -> [prompts * groups, most * heads of a group, n]."""
            spread = states if layout.grid is None else states[layout.grid[0]]
            spread = spread.view(count, -1, groups, heads // groups, states.shape[-1])
            return spread.transpose(1, 2).reshape(count * groups, -1, states.shape[-1])

        def by_row(states: Tensor) -> Tensor:
            """The way back."""
            spread = states.view(count, groups, -1, heads // groups, states.shape[-1]).transpose(1, 2)
            spread = spread.reshape(-1, heads, states.shape[-1])
            return spread if layout.grid is None else spread[layout.grid[1]]

        told, said = (store.flatten(0, 1) for store in self.prompts)
        shared = by_row(torch.bmm(by_prompt(queries), told.transpose(1, 2)))
        own = torch.bmm(queries.reshape(rows * groups, -1, width), keys.transpose(1, 2))
        scores = torch.cat((shared, own.view(rows, heads, used)), dim=-1)
        if layout.unseen is not None:
            scores.masked_fill_(layout.unseen[:, None, : length + used], -torch.inf)
        weights = scores.softmax(-1)
        heard = by_row(torch.bmm(by_prompt(weights[..., :length]), said))
        own_weights = weights[..., length:].reshape(rows * groups, -1, used)
        return heard + torch.bmm(own_weights, values).view(rows, heads, width)


def _joined(one: Tensor, other: Tensor) -> Tensor:
    """Prompts of two stores, the shorter ones filled up with zeros."""
    longest = max(one.shape[2], other.shape[2])
    return torch.cat([pad(store, (0, 0, 0, longest - store.shape[2])) for store in (one, other)])
