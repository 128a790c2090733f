"""What a decode step does besides its matrix products, by calls of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from sharpen.models.hf_kept import Kept, Layout
from sharpen.models.hf_plan import LayerPlan, Norm

Tables = Mapping[str, tuple[Tensor, Tensor]]
"""Kind of attention -> cosines and signed sines, [positions, width] each; see `_turned`."""


class Place(NamedTuple):
    """Where the rows of a step stand."""

    positions: Tensor
    """[rows]"""
    tables: Tables
    column: int
    """Where their tokens are kept."""
    layout: Layout
    parts: Parts


class States(NamedTuple):
    """What a layer has projected, [rows, heads, width] each; there may be fewer heads of keys and values."""

    queries: Tensor
    keys: Tensor
    values: Tensor


class Parts(Protocol):
    """A way to compute them."""

    by_row: bool
    """Whether rows attend one by one, so that nothing is gained by looking at them together."""

    def turns(self, place: Place, layers: Sequence[Kept]) -> Mapping[str, Any]:
        """Kind of attention -> what `attend` has to know of the rows' places."""

    def attend(self, states: States, scale: float, kept: Kept, turn: Any, place: Place) -> Tensor:
        """Keep a token of every row, and attend to all that its row may see: [rows, heads, width]."""

    def added(self, norm: Norm, hidden: Tensor, more: Tensor | None) -> tuple[Tensor, Tensor]:
        """The sum of both, [rows, width], in which the first may be spent; and the model's norm of that."""

    def worked(self, layer: LayerPlan, hidden: Tensor) -> Tensor:
        """The model's feed-forward part of [rows, width]."""


class Eager:
    """By calls of torch."""

    by_row = False

    def turns(self, place: Place, layers: Sequence[Kept]) -> Mapping[str, tuple[Tensor, Tensor]]:
        """Cosines and sines of every row, [rows, 1, width] each."""
        at = place.positions
        return {
            kind: (cosines[at][:, None], sines[at][:, None])
            for kind, (cosines, sines) in place.tables.items()
        }

    def attend(
        self, states: States, scale: float, kept: Kept, turn: tuple[Tensor, Tensor], place: Place
    ) -> Tensor:
        """By batched products."""
        heads = states.queries.shape[1]
        turned = _turned(torch.cat((states.queries, states.keys), dim=1), turn)
        kept.append(place.column, turned[:, heads:], states.values)
        return kept.attend(turned[:, :heads], scale, place.column + 1, place.layout)

    def added(self, norm: Norm, hidden: Tensor, more: Tensor | None) -> tuple[Tensor, Tensor]:
        """The usual norm in float32 by one call, which gives the model's own bits."""
        hidden = hidden if more is None else hidden + more
        if hidden.dtype == torch.float32 and norm.weight is not None:
            return hidden, torch.rms_norm(hidden, norm.weight.shape, norm.weight, norm.epsilon)
        return hidden, norm.whole(hidden)

    def worked(self, layer: LayerPlan, hidden: Tensor) -> Tensor:
        """As the model does it."""
        return layer.mlp(hidden)


def _turned(states: Tensor, turn: Sequence[Tensor]) -> Tensor:
    """Rotary embedding of [rows, heads, width]; the first half of the sines has its sign changed."""
    cosines, sines = turn
    return torch.addcmul(states * cosines, states.roll(states.shape[-1] // 2, -1), sines)
