"""Rankings that grow: an old order that stays, and newcomers that are spliced in where a score puts them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sharpen.core.records import Record
from sharpen.core.seeds import random_for


class Marked(Record):
    """An item of a ranking; a higher mark stands higher, equal marks are a tie."""

    item: str
    mark: float


Row = tuple[Marked, ...]
"""One ranking, best first."""


def ranked(marks: Mapping[str, float]) -> Row:
    """Items by their marks, best first; ties stay in order."""
    return tuple(sorted((Marked(item=i, mark=m) for i, m in marks.items()), key=lambda one: -one.mark))


def reshuffled(marks: Mapping[str, float], *key: str) -> dict[str, float]:
    """The same marks dealt out to other items; for ablations."""
    dealt = list(marks.values())
    random_for("reshuffled", *key).shuffle(dealt)
    return dict(zip(marks, dealt, strict=True))


def top_item(rows: Sequence[Row]) -> str:
    """The item with the highest sum of marks over several rankings of the same items; the first of equals."""
    total: dict[str, float] = {}
    for row in rows:
        for one in row:
            total[one.item] = total.get(one.item, 0.0) + one.mark
    return max(sorted(total), key=total.__getitem__)


def spliced(row: Row, item: str, scores: Mapping[str, float]) -> Row:
    """The ranking with a newcomer just below the first item, from the worst up, that it does not beat.

    Its mark lies between its neighbours', or half a mark outside; the old items keep order and marks.
    """
    place = len(row)
    while place and scores[item] > scores[row[place - 1].item]:
        place -= 1
    above = row[place - 1].mark if place else row[0].mark + 1.0
    below = row[place].mark if place < len(row) else row[-1].mark - 1.0
    return (*row[:place], Marked(item=item, mark=(above + below) / 2), *row[place:])


def ordered_pairs(row: Row) -> list[tuple[str, str]]:
    """(better, worse) of all items with different marks."""
    return [
        (one.item, other.item)
        for place, one in enumerate(row)
        for other in row[place + 1 :]
        if one.mark > other.mark
    ]


def agreement(right: Sequence[bool], scores: Sequence[float]) -> float | None:
    """Share of (right, wrong) pairs in which the right one scores higher; None without such pairs."""
    ups = [score for ok, score in zip(right, scores, strict=True) if ok]
    downs = [score for ok, score in zip(right, scores, strict=True) if not ok]
    if not ups or not downs:
        return None
    return sum(up > down for up in ups for down in downs) / (len(ups) * len(downs))
