"""Statistics of arms side by side: scores [seeds][tasks] of methods and controls, tested as one family.

Seeds and tasks are both drawn at random, and crossed. The variance of a mean difference is that of the means
of seeds plus that of the means of tasks; both hold the chance in single attempts, which so counts twice, on
the safe side. Its quantiles are those of Student's t with Satterthwaite's degrees of freedom, so that few
seeds that differ give wide intervals. (A bootstrap over five seeds takes a fifth of their variance away, and
has the quantiles of many.)

A method is better than the best control if it is better than each control, which needs no correction; it is
worse if it is worse than any of them, which is corrected for their number. The methods against the best
control are one family, all pairs are another; Holm's procedure holds the chance of any false claim at 2.5 %
in each, so at 5 % in all. It assumes nothing about how the comparisons hang together, which resampling so
few seeds could not tell.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from math import sqrt
from statistics import fmean, stdev
from typing import TYPE_CHECKING, NamedTuple

from sharpen.core.stats import LEVEL, Interval

if TYPE_CHECKING:
    import numpy as np

    Table = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

Scores = Sequence[Sequence[float | None]]
"""[seeds][tasks]; None where the judge failed."""

ALPHA = 1 - LEVEL
"""Chance of any false claim, whatever the claim is of."""
_FAMILIES = 2
"""Methods against the best control, and all pairs: each gets its half."""


class Contrast(NamedTuple):
    """A mean over seeds and tasks with what its uncertainty follows from."""

    mean: float
    error: float
    """Standard error."""
    freedom: float
    """Degrees of freedom; 0 if nothing is known of the spread."""
    n: int
    """Cells."""

    def p_greater(self) -> float:
        """Chance of a mean this large if the true one were zero."""
        if not self.freedom:
            return 1.0
        if not self.error:
            return 0.0 if self.mean > 0 else 1.0
        from scipy.special import stdtr

        return float(stdtr(self.freedom, -self.mean / self.error))

    def p_less(self) -> float:
        """Chance of a mean this small if the true one were zero."""
        return self._replace(mean=-self.mean).p_greater()

    def bound(self, tail: float) -> float:
        """The lower bound that leaves out `tail`; the upper one lies as far above the mean."""
        from scipy.special import stdtrit

        return self.mean + self.error * float(stdtrit(self.freedom, tail))


class Tested(NamedTuple):
    """A difference with its corrected test; the interval leaves zero out exactly if it is `clear`."""

    delta: Interval
    p_value: float | None
    """Corrected; None where there is one seed, which says nothing about others."""
    clear: bool


class League(NamedTuple):
    """What a comparison says."""

    best_control: str
    against: Mapping[str, Tested]
    """Of every method, its difference to the best control."""
    pairs: Mapping[tuple[str, str], Tested]
    """Of all pairs of arms, the first minus the second."""
    ranks: Mapping[str, int]
    """1 and the number of arms that are clearly better."""


def level(scores: Scores) -> Interval:
    """Mean and 95 % interval of one arm over the tasks that are known for all its seeds.

    If all scores lie from 0 to 1, so does the interval.
    """
    table = _known(_table(scores))
    found = _two_sided(_contrast(table), ALPHA)
    if found.low is None or found.high is None or table.min() < 0 or table.max() > 1:
        return found
    return found.model_copy(update={"low": max(0.0, found.low), "high": min(1.0, found.high)})


def over_seeds(values: Sequence[float]) -> Interval:
    """Mean of one number per seed, with its 95 % interval over seeds."""
    if len(values) < 2:
        return Interval(mean=values[0] if values else None, low=None, high=None, n=len(values))
    mean, count = fmean(values), len(values)
    return _two_sided(Contrast(mean, stdev(values) / sqrt(count), count - 1, count), ALPHA)


def league(methods: Mapping[str, Scores], controls: Mapping[str, Scores]) -> League:
    """Test every method against the better of the controls, and all pairs; rank with ties.

    Raises ValueError if arms differ in their numbers of seeds or tasks.
    """
    means = {name: level(scores).mean for name, scores in controls.items()}
    best = max(controls, key=lambda name: _or_lowest(means[name]))
    tables = {name: _table(scores) for name, scores in (*methods.items(), *controls.items())}
    against = _against({name: tables[name] for name in methods}, {name: tables[name] for name in controls})
    pairs = _pairs(tables)
    return League(best, against, pairs, _ranks(tables, controls, best, against, pairs))


def holm(p_values: Sequence[float]) -> list[tuple[float, float]]:
    """Of a family's p-values, in order: the corrected one, and the error at which Holm's procedure tests it.

    A corrected one of at most 0.05 is a claim; that there are two families is in it.
    """
    share = ALPHA / _FAMILIES
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    found = [(1.0, share)] * len(p_values)
    corrected, error, stopped = 0.0, share, False
    for place, index in enumerate(order):
        left = len(p_values) - place
        corrected = max(corrected, min(1.0, _FAMILIES * left * p_values[index]))
        error = error if stopped else share / left
        stopped = corrected > ALPHA
        found[index] = (corrected, error)
    return found


def _against(methods: Mapping[str, Table], controls: Mapping[str, Table]) -> dict[str, Tested]:
    contrasts = {
        name: [_difference(scores, other) for other in controls.values()] for name, scores in methods.items()
    }
    p_values = [_p_against(found) for found in contrasts.values()]
    return {
        name: _tested(_below_best(found, alpha), p, len(methods[name]))
        for (name, found), (p, alpha) in zip(contrasts.items(), holm(p_values), strict=True)
    }


def _p_against(found: Sequence[Contrast]) -> float:
    """Two-sided, of a difference to the best of several."""
    above = max(one.p_greater() for one in found)
    below = len(found) * min(one.p_less() for one in found)
    return min(1.0, 2 * min(above, below))


def _below_best(found: Sequence[Contrast], alpha: float) -> Interval:
    """Interval of the difference to the best of several: the least difference of all."""
    least = min(found)
    if not all(one.freedom for one in found):
        return _two_sided(least, alpha)
    low = min(one.bound(alpha / 2) for one in found)
    high = min(2 * one.mean - one.bound(alpha / 2 / len(found)) for one in found)
    return Interval(mean=least.mean, low=low, high=max(high, least.mean), n=least.n, level=1 - alpha)


def _pairs(arms: Mapping[str, Table]) -> dict[tuple[str, str], Tested]:
    names = list(combinations(arms, 2))
    contrasts = [_difference(arms[one], arms[other]) for one, other in names]
    p_values = [min(1.0, 2 * min(found.p_greater(), found.p_less())) for found in contrasts]
    return {
        pair: _tested(_two_sided(found, alpha), p, len(arms[pair[0]]))
        for pair, found, (p, alpha) in zip(names, contrasts, holm(p_values), strict=True)
    }


def _ranks(
    arms: Collection[str],
    controls: Collection[str],
    best: str,
    against: Mapping[str, Tested],
    pairs: Mapping[tuple[str, str], Tested],
) -> dict[str, int]:
    better: set[tuple[str, str]] = set()
    for (one, other), found in pairs.items():
        if found.clear:
            better.add((one, other) if found.delta.above_zero else (other, one))
    for name, found in against.items():
        if found.clear and found.delta.above_zero:
            better |= {(name, control) for control in controls}
        elif found.clear:
            better.add((best, name))
    return {name: 1 + sum((other, name) in better for other in arms) for name in arms}


def _tested(delta: Interval, p: float, seeds: int) -> Tested:
    """With one seed nothing is clear: the spread between runs is not known."""
    if seeds < 2:
        return Tested(delta, None, False)
    return Tested(delta, p, delta.above_zero or delta.below_zero)


def _table(scores: Scores) -> Table:
    """[seeds, tasks] with NaN for what is unknown."""
    import numpy as np

    return np.array(scores, dtype=np.float64)


def _known(table: Table) -> Table:
    """The tasks that are known for every seed."""
    import numpy as np

    known: Table = table[:, ~np.isnan(table).any(axis=0)]
    return known


def _difference(one: Table, other: Table) -> Contrast:
    if one.shape != other.shape:
        raise ValueError(f"arms of different shapes: {one.shape} and {other.shape} seeds and tasks")
    return _contrast(_known(one - other))


def _contrast(table: Table) -> Contrast:
    """Of tasks that are known for every seed."""
    if not table.size:
        return Contrast(0.0, 0.0, 0, 0)
    seeds, tasks = table.shape
    mean = float(table.mean())
    if tasks < 2:
        return Contrast(mean, 0.0, 0, table.size)
    by_seed, by_task = table.mean(axis=1), table.mean(axis=0)
    of_tasks = float(by_task.var(ddof=1)) / tasks
    if seeds < 2:
        return Contrast(mean, sqrt(of_tasks), tasks - 1, table.size)
    of_seeds = float(by_seed.var(ddof=1)) / seeds
    variance = of_seeds + of_tasks
    weighed = of_seeds**2 / (seeds - 1) + of_tasks**2 / (tasks - 1)
    freedom = variance**2 / weighed if weighed else seeds - 1
    return Contrast(mean, sqrt(variance), freedom, table.size)


def _two_sided(found: Contrast, alpha: float) -> Interval:
    if not found.n:
        return Interval(mean=None, low=None, high=None, n=0, level=1 - alpha)
    if not found.freedom:
        return Interval(mean=found.mean, low=None, high=None, n=found.n, level=1 - alpha)
    low = found.bound(alpha / 2)
    return Interval(mean=found.mean, low=low, high=2 * found.mean - low, n=found.n, level=1 - alpha)


def _or_lowest(mean: float | None) -> float:
    return float("-inf") if mean is None else mean
