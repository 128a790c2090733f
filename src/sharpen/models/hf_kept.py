"""What the short step keeps of prompts and rows, and attention to it.

A layer has two stores, one of prompts, each once, and one of rows. Where prompts are long and have many rows,
the second holds drawn tokens alone, and attention to prompts is one product for all rows of a prompt. Where
they are short or have few, their keys and values are copied to every row: fewer products are faster then.
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
    [rows]: where in there a row stands. None if rows hold their prompts."""
    unseen: Tensor | None
    """[rows, columns of prompts and rows]: True where a row must not look; None if it may everywhere, or if
    rows attend one by one."""
    born: Tensor
    """[rows]: their first columns."""
    prompts: Tensor
    """[rows]: places of their prompts."""
    lengths: Tensor
    """[rows]: how many tokens of those they attend to there; none where they hold copies."""


class Start(NamedTuple):
    """What new rows begin with."""

    rows: Tensor
    """[fresh]: their places."""
    prompts: Tensor
    """[fresh, 1]: places of their prompts."""
    columns: Tensor
    """[fresh, n]: which columns of those come into the last of those in use."""


class Move(NamedTuple):
    """Who sits where."""

    rows: int
    """How many there are."""
    to: Tensor
    """[n]: places of those that are moved,"""
    source: Tensor
    """[n]: and where they were."""
    columns: slice
    """Which of their columns are moved; they become the last of those in use."""
    used: int
    """Columns in use afterwards."""
    wider: bool
    """Whether all is moved into new room."""
    start: Start | None


class Kept:
    """Keys and values of one layer."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        """Of prompts, [prompts, heads, tokens, width] each; there are no rows yet."""
        self.prompts = (keys.contiguous(), values.contiguous())
        none = keys.new_zeros(0, keys.shape[1], 0, keys.shape[3])
        self.room = (none, none)
        """[seats, heads, columns, width] each, of which some may be free."""
        self.rows = self.room

    def keep_prompts(self, places: Tensor, more: tuple[Tensor, Tensor] | None) -> None:
        """Keep these prompts, and add others."""
        kept = [store[places] for store in self.prompts]
        if more is not None:
            kept = [_joined(one, other) for one, other in zip(kept, more, strict=True)]
        self.prompts = (kept[0], kept[1])

    def keep_rows(self, move: Move) -> None:
        """Keep rows and begin others, in the room there is or in new room."""
        self.room = (self._moved(0, move), self._moved(1, move))
        self.rows = (self.room[0][: move.rows], self.room[1][: move.rows])

    def _moved(self, which: int, move: Move) -> Tensor:
        room = before = self.room[which]
        if move.wider:
            # A column of weight 0 must not hold what was in memory before, which may be no number.
            room = before.new_zeros(move.rows, before.shape[1], move.used + COLUMNS, before.shape[3])
        first = move.used - (move.columns.stop - move.columns.start)
        room[move.to, :, first : move.used] = before[move.source, :, move.columns]
        if move.start is not None:
            rows, prompts, columns = move.start
            told = self.prompts[which][prompts, :, columns].transpose(1, 2)
            room[rows, :, move.used - columns.shape[1] : move.used] = told
        return room

    def append(self, column: int, keys: Tensor, values: Tensor) -> None:
        """A token of every row, [rows, heads, width]."""
        self.rows[0][:, :, column] = keys
        self.rows[1][:, :, column] = values

    def attend(self, queries: Tensor, scale: float, used: int, layout: Layout) -> Tensor:
        """Attention of one query per row and head, [rows, heads, width], to all that its row may see."""
        rows, heads, width = queries.shape
        keys, values = (store.flatten(0, 1)[:, :used] for store in self.rows)
        queries = queries * scale
        scores = torch.bmm(queries.view(len(keys), -1, width), keys.transpose(1, 2)).view(rows, heads, used)
        if layout.grid is None:
            weights = _weights(scores, layout.unseen)
            return torch.bmm(weights.view(len(keys), -1, used), values).view(rows, heads, width)
        told, said = self.prompts
        scores = torch.cat((_by_prompt(queries, told.transpose(2, 3), layout.grid), scores), dim=-1)
        weights, length = _weights(scores, layout.unseen), told.shape[2]
        own = weights[..., length:].reshape(len(keys), -1, used)
        heard = torch.bmm(own, values).view(rows, heads, width)
        return heard.add_(_by_prompt(weights[..., :length], said, layout.grid))


def _weights(scores: Tensor, unseen: Tensor | None) -> Tensor:
    if unseen is not None:
        scores.masked_fill_(unseen[:, None, : scores.shape[-1]], -torch.inf)
    return scores.softmax(-1)


def _by_prompt(states: Tensor, store: Tensor, layout: tuple[Tensor, Tensor]) -> Tensor:
    """Products of states [rows, heads, n] with their prompts' stores [prompts, groups, n, m]."""
    grid, seat = layout
    heads, inner = states.shape[1:]
    count, groups, _, outer = store.shape
    spread = states[grid].view(count, -1, groups, heads // groups, inner).transpose(1, 2)
    found = torch.bmm(spread.reshape(count * groups, -1, inner), store.flatten(0, 1))
    return (
        found.view(count, groups, -1, heads // groups, outer).transpose(1, 2).reshape(-1, heads, outer)[seat]
    )


def _joined(one: Tensor, other: Tensor) -> Tensor:
    """Prompts of two stores, the shorter ones filled up with zeros."""
    longest = max(one.shape[2], other.shape[2])
    return torch.cat([pad(store, (0, 0, 0, longest - store.shape[2])) for store in (one, other)])
