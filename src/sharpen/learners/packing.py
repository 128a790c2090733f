"""From examples to tensors: several documents in one row, none of which sees another.

transformers builds a block mask by itself where position ids start again inside a row and no attention mask
is given. `packs` tries that on the model at hand; a model that mixes documents gets one document per row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sharpen.learners.batch import Example, units
from sharpen.models.hf_head import Head

PACK_LENGTH = 128
PROBE_LENGTHS = (5, 9, 3)
ROUNDING = 0.01

Row = tuple[Example, ...]
Trained = tuple[int, int, float, tuple[float, ...], int]
"""Of a token with loss: the place before it, the token, its weight, inputs and document's number."""


class Micro(NamedTuple):
    """Rows for one forward pass."""

    ids: Tensor
    """[rows, width]; padding is 0."""
    positions: Tensor
    """[rows, width]: place of each token in its document."""
    sources: Tensor
    """[trained]: flat places in `ids` whose next token carries loss."""
    targets: Tensor
    """[trained]: those next tokens."""
    weights: Tensor
    """[trained]: their weights."""
    inputs: Tensor
    """[trained, columns]: what else the objective knows of each; no columns where it needs nothing."""
    documents: Tensor
    """[trained]: number of the document they stand in, from 0."""


def micro_batches(
    examples: Sequence[Example], *, packed: bool, micro_tokens: int, device: torch.device
) -> Iterator[Micro]:
    """The examples as rows, at most `micro_tokens` places (or one row, or one linked unit) at a time."""
    group: list[Row] = []
    width = 0
    for rows in _bundles(units(examples), packed=packed):
        wide = max(sum(document.length for document in row) for row in rows)
        wider = max(width, wide)
        if group and wider * (len(group) + len(rows)) > micro_tokens:
            yield _micro(group, width, device)
            group, wider = [], wide
        group += rows
        width = wider
    if group:
        yield _micro(group, width, device)


def _bundles(linked: Sequence[tuple[Example, ...]], *, packed: bool) -> Iterator[list[Row]]:
    """Rows that must not be parted: several units to a row, or a unit's documents on rows of their own."""
    lengths = [sum(example.length for example in unit) for unit in linked]
    if packed:
        for row in first_fit(lengths, max(PACK_LENGTH, *lengths)):
            yield [tuple(document for index in row for document in linked[index])]
    else:
        for index in sorted(range(len(linked)), key=lambda i: (-lengths[i], i)):
            yield [(document,) for document in linked[index]]


def first_fit(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Indices packed into rows of `size`, longest first, each into the first row with room."""
    rows: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        place = next((r for r, free in enumerate(room) if free >= lengths[index]), len(rows))
        if place == len(rows):
            rows.append([])
            room.append(size)
        rows[place].append(index)
        room[place] -= lengths[index]
    return rows


def _micro(rows: Sequence[Row], width: int, device: torch.device) -> Micro:
    ids: list[int] = []
    positions: list[int] = []
    trained: list[Trained] = []
    number = 0
    for row in rows:
        end = len(ids) + width
        for document in row:
            tokens = list(_trained(document, len(ids), number))
            number += bool(tokens)
            trained += tokens
            ids += (*document.prompt_ids, *document.response_ids)
            positions += range(document.length)
        positions += range(end - len(ids))
        ids += [0] * (end - len(ids))
    sources, targets, weights, inputs, numbers = zip(*trained, strict=True) if trained else ((),) * 5
    return Micro(
        ids=torch.tensor(ids, device=device).view(len(rows), width),
        positions=torch.tensor(positions, device=device).view(len(rows), width),
        sources=torch.tensor(sources, dtype=torch.long, device=device),
        targets=torch.tensor(targets, dtype=torch.long, device=device),
        weights=torch.tensor(weights, dtype=torch.float32, device=device),
        inputs=torch.tensor(inputs, dtype=torch.float32, device=device).view(len(sources), -1)
        if sources
        else torch.zeros(0, 0, device=device),
        documents=torch.tensor(numbers, dtype=torch.long, device=device),
    )


def _trained(document: Example, start: int, number: int) -> Iterator[Trained]:
    before = start + len(document.prompt_ids) - 1
    inputs = document.inputs or ((),) * len(document.response_ids)
    rows = zip(document.response_ids, document.mask, inputs, strict=True)
    for offset, (token, value, known) in enumerate(rows):
        if value * document.weight > 0:
            yield before + offset, token, value * document.weight, known, number


@torch.no_grad()
def packs(head: Head) -> bool:
    """Whether the model keeps packed documents apart.

    Features of packed documents may differ from those of each alone by a small part of what they differ by
    when the documents are simply run together: that is rounding, at any precision.
    """
    device = head.module.device
    documents = [torch.arange(1, 1 + n, device=device)[None] % head.vocabulary for n in PROBE_LENGTHS]
    joined = torch.cat(documents, dim=1)
    positions = torch.cat([torch.arange(n, device=device)[None] for n in PROBE_LENGTHS], dim=1)
    alone = torch.cat([head.features(document) for document in documents], dim=1)
    mixing = (head.features(joined) - alone).norm()
    return bool((head.features(joined, positions) - alone).norm() <= ROUNDING * mixing)
