"""Rows of a benchmark, and how contenders take turns."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

from sharpen.core.records import Record

log = logging.getLogger(__name__)

Figure = Callable[[], float]
"""Does a contender's work once and returns its figure: a rate, or a size."""


class Row(Record):
    """One figure beside a peer's; medians, with the lowest and highest of the repeats."""

    case: str
    metric: str
    """What is counted, with its unit."""
    ours: float
    peer: float | None = None
    peer_name: str | None = None
    ratio: float | None = None
    """ours / peer; for rates more is better, for sizes and times less."""
    share_of_limit: float | None = None
    """ours / what this machine could do at most, where that is known."""
    ours_range: tuple[float, float] | None = None
    peer_range: tuple[float, float] | None = None
    note: str = ""


class Peer(NamedTuple):
    """Somebody else's way of doing the same work."""

    name: str
    figure: Figure


def alternate(contenders: Sequence[Figure], repeats: int) -> list[list[float]]:
    """Every contender's figures; they take turns, and every other round goes backwards.

    Whatever slows the machine for a while then slows all of them.
    """
    figures: list[list[float]] = [[] for _ in contenders]
    for number in range(repeats):
        order = range(len(contenders))
        for place in reversed(order) if number % 2 else order:
            figures[place].append(contenders[place]())
    return figures


def compared(
    case: str,
    metric: str,
    ours: Figure,
    peers: Sequence[Peer],
    *,
    repeats: int,
    limit: float | None = None,
    note: str = "",
) -> list[Row]:
    """Measure in turns; a row for each peer, or one without a peer if there is none.

    limit: the most that the machine could do, in the metric's unit.
    """
    contenders = [Peer("ours", ours), *peers]
    own, *others = alternate([_told(case, metric, contender) for contender in contenders], repeats)
    named = zip((peer.name for peer in peers), others, strict=True)
    rows = [row_of(case, metric, own, found, name, limit=limit, note=note) for name, found in named]
    return rows or [row_of(case, metric, own, None, None, limit=limit, note=note)]


def _told(case: str, metric: str, contender: Peer) -> Figure:
    """The figure, told to the log as it comes: a case may take minutes."""

    def figure() -> float:
        found = contender.figure()
        log.info("%s, %s: %.3g %s", case, contender.name, found, metric)
        return found

    return figure


def row_of(
    case: str,
    metric: str,
    own: Sequence[float],
    found: Sequence[float] | None,
    name: str | None,
    *,
    limit: float | None = None,
    note: str = "",
) -> Row:
    """A row of figures that were measured already."""
    middle, other = median(own), median(found) if found else None
    return Row(
        case=case,
        metric=metric,
        ours=middle,
        peer=other,
        peer_name=name,
        ratio=middle / other if other else None,
        share_of_limit=middle / limit if limit else None,
        ours_range=(min(own), max(own)),
        peer_range=(min(found), max(found)) if found else None,
        note=note,
    )


def rate(work: Callable[[], float]) -> Figure:
    """A figure: how much the work did, per second of its time."""

    def figure() -> float:
        began = time.perf_counter()
        done = work()
        return done / (time.perf_counter() - began)

    return figure
