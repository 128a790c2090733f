"""From examples to tensors: several documents in one row, none of which sees another.

transformers builds a block mask by itself where position ids start again inside a row and no attention mask
is given. `packs` tries that on the model at hand; a model that mixes documents gets one document per row.

Documents with one prompt can share it: the prompt stands once, the responses follow it, each sees the prompt
and itself. That takes a mask of our own, which `shares` tries on the model at hand.
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
STEM_LENGTHS = (4, 3, 2)
"""A prompt and two responses, together within any sliding window."""
ROUNDING = 0.01

MOST_SHARED = 1024
"""Longest row with a shared prompt: its attention costs the square of that."""
LEAST_SAVED = 0.2
"""Share of a step's places that sharing must save."""
PADDING = -1

Stem = tuple[Example, ...]
"""Documents that share their prompt, or one document."""
Row = tuple[Stem, ...]
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
    mask: Tensor | None = None
    """[rows, 1, width, width]: which places see which, where prompts are shared; None for none."""


def micro_batches(
    examples: Sequence[Example],
    *,
    packed: bool,
    micro_tokens: int,
    device: torch.device,
    shared: int = 0,
) -> Iterator[Micro]:
    """The examples as rows, at most `micro_tokens` places (or one row, or one linked unit) at a time.

    shared: documents of up to so many tokens may share a prompt; see `shares`.
    """
    group: list[Row] = []
    width = 0
    for rows in _bundles(_stems(units(examples), shared), packed=packed):
        wide = max(map(_length, rows))
        wider = max(width, wide)
        if group and wider * (len(group) + len(rows)) > micro_tokens:
            yield _micro(group, width, device)
            group, wider = [], wide
        group += rows
        width = wider
    if group:
        yield _micro(group, width, device)


def _stems(linked: Sequence[tuple[Example, ...]], shared: int) -> list[Row]:
    """Units as stems: of one document each, unless sharing is allowed for all and saves enough."""
    alone: list[Row] = [tuple((document,) for document in unit) for unit in linked]
    documents = [document for unit in linked for document in unit]
    if not shared or max(document.length for document in documents) > shared:
        return alone
    together = [_gathered(unit) for unit in _neighbours(linked)]
    saved = 1 - sum(map(_length, together)) / sum(document.length for document in documents)
    return together if saved >= LEAST_SAVED else alone


def _neighbours(linked: Sequence[tuple[Example, ...]]) -> list[tuple[Example, ...]]:
    """The units, those of single documents with one prompt put together as far as a row goes."""
    found: list[tuple[Example, ...]] = []
    places: dict[tuple[int, ...], int] = {}
    for unit in linked:
        place = None if unit[0].link else places.get(unit[0].prompt_ids)
        if place is not None and _length((found[place] + unit,)) <= MOST_SHARED:
            found[place] += unit
        else:
            if not unit[0].link:
                places[unit[0].prompt_ids] = len(found)
            found.append(unit)
    return found


def _gathered(unit: Sequence[Example]) -> Row:
    """A unit's documents in order, neighbours with one prompt as one stem as far as a row goes."""
    stems: list[Stem] = []
    for document in unit:
        fits = stems and stems[-1][0].prompt_ids == document.prompt_ids
        if fits and _length(((*stems[-1], document),)) <= MOST_SHARED:
            stems[-1] += (document,)
        else:
            stems.append((document,))
    return tuple(stems)


def _length(row: Row) -> int:
    """Places of a row without padding."""
    return sum(len(stem[0].prompt_ids) + sum(len(d.response_ids) for d in stem) for stem in row)


def _bundles(linked: Sequence[Row], *, packed: bool) -> Iterator[list[Row]]:
    """Rows that must not be parted: several units to a row, or a unit's stems on rows of their own."""
    lengths = [_length(unit) for unit in linked]
    if packed:
        for row in first_fit(lengths, max(PACK_LENGTH, *lengths)):
            yield [tuple(stem for index in row for stem in linked[index])]
    else:
        for index in sorted(range(len(linked)), key=lambda i: (-lengths[i], i)):
            yield [(stem,) for stem in linked[index]]


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
    branches: list[tuple[int, int]] = []
    number = count = 0
    for row in rows:
        end = len(ids) + width
        for stem in row:
            prompt, start = stem[0].prompt_ids, len(ids)
            count += 1
            ids += prompt
            positions += range(len(prompt))
            branches += [(count, 0)] * len(prompt)
            for branch, document in enumerate(stem, start=1):
                tokens = list(_trained(document, start + len(prompt) - 1, len(ids), number))
                number += bool(tokens)
                trained += tokens
                ids += document.response_ids
                positions += range(len(prompt), document.length)
                branches += [(count, branch)] * len(document.response_ids)
        branches += [(PADDING, 0)] * (end - len(ids))
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
        mask=_mask(branches, len(rows), device) if any(len(stem) > 1 for r in rows for stem in r) else None,
    )


def _mask(branches: Sequence[tuple[int, int]], rows: int, device: torch.device) -> Tensor:
    """Which places see which, [rows, 1, width, width]; a place has a stem and a branch, 0 in the prompt."""
    stem, branch = torch.tensor(branches, device=device).view(rows, -1, 2).unbind(-1)
    places = torch.arange(stem.shape[1], device=device)
    earlier = places[None, :] <= places[:, None]
    kin = (branch[:, None, :] == 0) | (branch[:, None, :] == branch[:, :, None])
    return ((stem[:, None, :] == stem[:, :, None]) & kin & earlier)[:, None]


def _trained(document: Example, last: int, start: int, number: int) -> Iterator[Trained]:
    """The tokens with loss; `last` is the place of the prompt's last token, `start` the response's first."""
    inputs = document.inputs or ((),) * len(document.response_ids)
    rows = zip(document.response_ids, document.mask, inputs, strict=True)
    for offset, (token, value, known) in enumerate(rows):
        if value * document.weight > 0:
            before = start + offset - 1 if offset else last
            yield before, token, value * document.weight, known, number


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


@torch.no_grad()
def shares(head: Head) -> int:
    """Longest document that may share its prompt with others on this model; 0 for none at all.

    Features under a mask of ours may differ from those of each document alone by rounding only, as above. A
    mask of ours knows nothing of sliding windows, so documents must fit into one.
    """
    device, size = head.module.device, head.vocabulary
    prompt, *responses = (tuple(i % size for i in range(7, 7 + n)) for n in STEM_LENGTHS)
    stem = tuple(Example(prompt, response, (1.0,) * len(response)) for response in responses)
    micro = _micro([(stem,)], _length((stem,)), device)
    alone = [head.features(torch.tensor([[*prompt, *r]], device=device))[0, len(prompt) :] for r in responses]
    found, mixed = (
        head.features(micro.ids, micro.positions, mask)[0, len(prompt) :] for mask in (micro.mask, None)
    )
    wanted = torch.cat(alone)
    if (found - wanted).norm() > ROUNDING * (mixed - wanted).norm():
        return 0
    return min(
        MOST_SHARED, getattr(head.module.config.get_text_config(), "sliding_window", None) or MOST_SHARED
    )


class Layout(NamedTuple):
    """How documents may be put together for a model."""

    packed: bool
    """Several to a row."""
    shared: int
    """Those of up to so many tokens may share a prompt."""


def layout_of(head: Head) -> Layout:
    """What the model at hand was found to bear."""
    return Layout(packs(head), shares(head))
