"""Intervals, paired tests and pass@k over tasks. A task is the unit; unknown scores (None) never count as 0.

For 0/1 scores the closed forms hold at any size and are used: Wilson's interval for a mean, Newcombe's
(method 10) for a paired difference, McNemar's exact test. Graded scores get percentile bootstraps over
tasks and the sign-flip permutation test, which is exact up to 13 changed tasks. Every draw is keyed:
equal data give equal numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import comb, exp, fsum, isfinite, log, log1p, sqrt
from typing import TYPE_CHECKING, NamedTuple

from sharpen.core.errors import BadInput
from sharpen.core.records import Record
from sharpen.core.seeds import seed_for

if TYPE_CHECKING:
    import numpy as np

LEVEL = 0.95
_RESAMPLES = 9_999
_CROSSED_RESAMPLES = 2_000
_REMEMBERED = 16_384
_CELLS_AT_ONCE = 2_000_000
"""Resampled values held in memory at a time (16 MB)."""


class Interval(Record):
    """A mean over tasks with its confidence interval."""

    mean: float | None
    """None if no value is known."""
    low: float | None
    """None if the data say nothing about the spread: no value, or a single graded one."""
    high: float | None
    """None as `low`."""
    n: int
    """Number of known values."""
    level: float = LEVEL

    @property
    def above_zero(self) -> bool:
        """Whether the whole interval is positive."""
        return self.low is not None and self.low > 0

    @property
    def below_zero(self) -> bool:
        """Whether the whole interval is negative."""
        return self.high is not None and self.high < 0

    def percent(self, *, signed: bool = False) -> str:
        """As text: `12.0% (8.1 to 16.2)`."""
        if self.mean is None:
            return "unknown"
        sign = "+" if signed else ""
        if self.low is None or self.high is None:
            return f"{self.mean:{sign}.1%}"
        return f"{self.mean:{sign}.1%} ({100 * self.low:{sign}.1f} to {100 * self.high:{sign}.1f})"

    def __str__(self) -> str:
        if self.mean is None:
            return "unknown"
        if self.low is None or self.high is None:
            return f"{self.mean:.3f}"
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


class PairedTest(Record):
    """Two policies on the same tasks: after minus before."""

    delta: Interval
    """Mean difference over the tasks whose two scores are known."""
    p_two_sided: float
    """Chance of a difference this large, either way, if the two were alike."""
    p_greater: float
    """Chance of a gain this large if the two were alike."""
    p_less: float
    """Chance of a loss this large if the two were alike."""
    wins: int
    """Tasks where after is higher."""
    losses: int
    """Tasks where after is lower."""
    ties: int
    """Tasks where both are equal."""
    coverage: float
    """Share of the tasks whose two scores are known; 0 for no tasks."""


class _P(NamedTuple):
    greater: float
    less: float


def mean_interval(values: Sequence[float | None], *, level: float = LEVEL) -> Interval:
    """Mean and interval of per-task scores: Wilson's for 0/1 scores, else a percentile bootstrap."""
    known = _finite([value for value in values if value is not None])
    if not known:
        return Interval(mean=None, low=None, high=None, n=0, level=level)
    if _binary(known):
        mean, (low, high) = sum(known) / len(known), _wilson(int(sum(known)), len(known), level)
        return Interval(mean=mean, low=low, high=high, n=len(known), level=level)
    return _bootstrap(known, level)


def paired_delta(
    before: Sequence[float | None], after: Sequence[float | None], *, level: float = LEVEL
) -> PairedTest:
    """Compare aligned per-task scores. Tasks with an unknown score on either side are left out.

    Raises ValueError if the two differ in length.
    """
    pairs = [(b, a) for b, a in zip(before, after, strict=True) if b is not None and a is not None]
    old, new = _finite([b for b, _ in pairs]), _finite([a for _, a in pairs])
    gains = [a - b for b, a in pairs]
    wins, losses = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
    binary = bool(pairs) and _binary(old) and _binary(new)
    p = _sign_test(wins, losses) if binary or wins + losses < 2 else _sign_flips(gains)
    return PairedTest(
        delta=_newcombe(old, new, level) if binary else _bootstrap(gains, level),
        p_two_sided=min(1.0, 2 * min(p)),
        p_greater=p.greater,
        p_less=p.less,
        wins=wins,
        losses=losses,
        ties=len(pairs) - wins - losses,
        coverage=len(pairs) / len(before) if before else 0.0,
    )


BETS = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95)
"""Shares of the wealth that are staked on a gain; each has a seventh of the wealth to begin with."""


def no_gain(before: Sequence[float], after: Sequence[float]) -> float:
    """P-value of the hypothesis that the mean of `after` is not above that of `before`; scores lie in [0, 1].

    Valid for any distribution of the scores and any number of independent tasks. 0/1 scores: the exact sign
    test. Graded ones: one over the final wealth of a bettor on gains, the mean over bets b of the products of
    1 + b g_i, which is at most 1 on average under the hypothesis and reaches 1 / p with a chance of at most
    p (Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", arXiv 2010.09686).
    The sign-flip test of `paired_delta` takes gains for symmetric; many small gains with a few great losses
    are not. Raises ValueError if the lengths differ, BadInput for a score that is not finite.
    """
    old, new = _finite(list(before)), _finite(list(after))
    gains = [a - b for b, a in zip(old, new, strict=True)]
    if not any(gains):
        return 1.0
    if _binary(old) and _binary(new):
        return _sign_test(sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)).greater
    logs = [fsum(log1p(bet * gain) for gain in gains) for bet in BETS]
    wealth = max(logs) + log(fsum(exp(each - max(logs)) for each in logs) / len(BETS))
    return exp(-max(0.0, wealth))


def crossed_interval(rows: Sequence[Sequence[float]], *, level: float = LEVEL) -> Interval:
    """Mean and interval of scores [seeds][tasks]: a percentile bootstrap that draws seeds and tasks anew.

    n counts the cells. With few seeds the spread between them is known badly; look at the rows too.
    """
    import numpy as np

    cells = np.asarray(rows, dtype=np.float64)
    if cells.size < 2:
        return _bootstrap([float(value) for value in cells.ravel()], level)
    rng = _rng("crossed", cells.size)
    by_seed, by_task = (
        rng.multinomial(count, np.full(count, 1 / count), size=_CROSSED_RESAMPLES) for count in cells.shape
    )
    means = ((by_seed @ cells) * by_task).sum(axis=1) / cells.size
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean=float(cells.mean()), low=float(low), high=float(high), n=cells.size, level=level)


def pass_at_k(n: int, c: int, k: int) -> float:
    """Unbiased chance that at least one of k attempts is right, from c right ones among n."""
    if not 1 <= k <= n:
        raise BadInput("k", k, f"must lie between 1 and the number of attempts ({n})", remedy="sample more")
    if not 0 <= c <= n:
        raise BadInput("c", c, f"must lie between 0 and the number of attempts ({n})", remedy="recount")
    return 1.0 - comb(n - c, k) / comb(n, k)


def _finite(values: list[float]) -> list[float]:
    for value in values:
        if not isfinite(value):
            raise BadInput("score", value, "is not a finite number", remedy="use None for an unknown score")
    return values


def _binary(values: Sequence[float]) -> bool:
    return all(value in (0, 1) for value in values)


def _wilson(successes: int, n: int, level: float) -> tuple[float, float]:
    from scipy.stats import binomtest

    interval = binomtest(successes, n).proportion_ci(level, method="wilson")
    # Rounding can leave the bound at an extreme mean one ulp inside it.
    return min(float(interval.low), successes / n), max(float(interval.high), successes / n)


def _newcombe(before: Sequence[float], after: Sequence[float], level: float) -> Interval:
    """Interval of a difference of paired proportions: both score intervals, joined by their correlation."""
    n = len(before)
    old, new = int(sum(before)), int(sum(after))
    both = int(sum(b * a for b, a in zip(before, after, strict=True)))
    phi = _correlation(both, old, new, n)
    old_low, old_high = (abs(old / n - bound) for bound in _wilson(old, n, level))
    new_low, new_high = (abs(new / n - bound) for bound in _wilson(new, n, level))
    mean = (new - old) / n
    return Interval(
        mean=mean,
        low=max(-1.0, mean - _joined(new_low, old_high, phi)),
        high=min(1.0, mean + _joined(new_high, old_low, phi)),
        n=n,
        level=level,
    )


def _joined(one: float, other: float, phi: float) -> float:
    return sqrt(max(0.0, one**2 - 2 * phi * one * other + other**2))


def _correlation(both: int, old: int, new: int, n: int) -> float:
    """Phi of the 2 x 2 table, with Newcombe's correction that keeps full agreement from having no width."""
    spread = old * (n - old) * new * (n - new)
    if spread == 0:
        return 0.0
    # n * both - old * new equals the table's cross difference (ad - bc).
    cross = n * both - old * new
    return (max(0.0, cross - n / 2) if cross > 0 else cross) / sqrt(spread)


def _bootstrap(values: Sequence[float], level: float) -> Interval:
    """Percentile bootstrap of the mean; None for the bounds of fewer than two values."""
    n = len(values)
    if n == 0:
        return Interval(mean=None, low=None, high=None, n=0, level=level)
    mean = sum(values) / n
    if n == 1:
        return Interval(mean=mean, low=None, high=None, n=1, level=level)
    if min(values) == max(values):
        return Interval(mean=values[0], low=values[0], high=values[0], n=n, level=level)
    import numpy as np
    from scipy.stats import bootstrap

    found = bootstrap(
        (np.asarray(values),),
        np.mean,
        n_resamples=_RESAMPLES,
        batch=max(1, _CELLS_AT_ONCE // n),
        confidence_level=level,
        method="percentile",
        rng=_rng("bootstrap", n),
    ).confidence_interval
    low, high = float(found.low), float(found.high)
    return Interval(mean=mean, low=min(low, mean), high=max(high, mean), n=n, level=level)


@lru_cache(maxsize=_REMEMBERED)
def _sign_test(wins: int, losses: int) -> _P:
    """McNemar's exact test: among the tasks that changed, either way is as likely."""
    if wins + losses == 0:
        return _P(1.0, 1.0)
    from scipy.stats import binomtest

    return _P(
        float(binomtest(wins, wins + losses, alternative="greater").pvalue),
        float(binomtest(losses, wins + losses, alternative="greater").pvalue),
    )


def _sign_flips(gains: Sequence[float]) -> _P:
    """Permutation test that flips the sign of each task's gain; equal tasks cannot flip and drop out."""
    moved = [gain for gain in gains if gain]
    return _P(_flip_p(moved), _flip_p([-gain for gain in moved]))


def _flip_p(gains: Sequence[float]) -> float:
    import numpy as np
    from scipy.stats import permutation_test

    found = permutation_test(
        (np.asarray(gains),),
        np.mean,
        permutation_type="samples",
        alternative="greater",
        n_resamples=_RESAMPLES,
        batch=max(1, _CELLS_AT_ONCE // len(gains)),
        rng=_rng("sign flips", len(gains)),
    )
    return float(found.pvalue)


def _rng(purpose: str, n: int) -> np.random.Generator:
    import numpy as np

    return np.random.default_rng(seed_for("stats", purpose, n))
