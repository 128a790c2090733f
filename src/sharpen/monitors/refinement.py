"""Whether refining pays: quality by turn, answers mended and spoiled, a warning where the curve is flat."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count, takewhile
from typing import NamedTuple

from sharpen.core.attempt import Attempt
from sharpen.core.policy import Policy
from sharpen.core.run import Scope
from sharpen.core.stats import Interval, mean_interval, paired_delta
from sharpen.core.task import Task
from sharpen.monitors.correction import cells


class Curve(NamedTuple):
    """Quality by turn over the same tasks."""

    quality: tuple[float, ...]
    """Mean worth of the answers that stand after 0, 1, ... revisions."""
    gain: Interval
    """Paired: the last minus the first."""
    mended: int
    """Tasks from wrong to right."""
    spoiled: int
    """Tasks from right to wrong."""

    @property
    def numbers(self) -> dict[str, float]:
        """By name: q_0, q_1, ..., mended and spoiled."""
        turns = {f"q_{k}": quality for k, quality in enumerate(self.quality)}
        return {**turns, "mended": self.mended, "spoiled": self.spoiled}

    @property
    def warning(self) -> str | None:
        """What to beware of, if refining does not clearly pay; none where nothing was refined."""
        if len(self.quality) < 2 or self.gain.above_zero:
            return None
        kind = "falls" if self.gain.below_zero else "is flat"
        turns = " to ".join(f"{quality:.3f}" for quality in (self.quality[0], self.quality[-1]))
        return (
            f"the refinement curve {kind}: {turns} over {len(self.quality) - 1} revisions, "
            f"{self.gain.percent(signed=True)}, {self.gain.n} tasks"
        )


def curve_of(attempts: Sequence[Attempt]) -> Curve | None:
    """From the facts q_0, q_1, ... of attempts of distinct tasks; none if no attempt has all of them."""
    rows = [row for attempt in attempts if (row := _turns(attempt))]
    if not rows:
        return None
    whole = [row for row in rows if len(row) == max(map(len, rows))]
    first, last = [row[0] for row in whole], [row[-1] for row in whole]
    changed = cells(first, last)
    return Curve(
        quality=tuple(mean_interval(turn).mean or 0.0 for turn in zip(*whole, strict=True)),
        gain=paired_delta(first, last).delta,
        mended=changed.critical,
        spoiled=changed.unconfident,
    )


def _turns(attempt: Attempt) -> list[float]:
    """The attempt's facts by turn, up to the first that it lacks."""
    found = (attempt.outcome.get(f"q_{k}") for k in count())
    return [float(value) for value in takewhile(_known, found) if isinstance(value, int | float)]


def _known(value: object) -> bool:
    return isinstance(value, int | float)


def watch_refinement(it: Scope, policy: Policy, tasks: Sequence[Task], *, name: str = "val") -> Curve | None:
    """Record the curve of a policy that refines, from its evaluation of that name; warn if it is flat."""
    curve = curve_of(it.evaluate(policy, tasks, name=name).attempts)
    if curve:
        it.measure(**curve.numbers)
        if curve.warning:
            it.warn(curve.warning)
    return curve
