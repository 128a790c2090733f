"""Which tasks a change won and which it lost: a mean hides that both happen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sharpen.core.records import Record
from sharpen.monitors.exploration import RIGHT


class Flows(Record):
    """Tasks by their state before and after."""

    wrong_to_right: int
    right_to_wrong: int
    stayed_right: int
    stayed_wrong: int
    unknown: int
    """Tasks whose score is unknown before or after."""


def flows(before: Sequence[float | None], after: Sequence[float | None], *, right: float = RIGHT) -> Flows:
    """Count aligned per-task scores; from `right` on a score is right. ValueError if lengths differ."""
    moves = Counter(
        None if old is None or new is None else (old >= right, new >= right)
        for old, new in zip(before, after, strict=True)
    )
    return Flows(
        wrong_to_right=moves[False, True],
        right_to_wrong=moves[True, False],
        stayed_right=moves[True, True],
        stayed_wrong=moves[False, False],
        unknown=moves[None],
    )
