"""Intervals and tests of sharpen.core.stats: what must hold for any data."""

from __future__ import annotations

import random
import warnings
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpen.core.errors import BadInput
from sharpen.core.stats import Interval, mean_interval, paired_delta, pass_at_k

binary = st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=60)
graded = st.lists(st.floats(0, 1, width=16), min_size=2, max_size=20)
maybe = st.one_of(st.none(), st.floats(0, 1, width=16))
fast = settings(max_examples=30, deadline=None)


def bounds(interval: Interval) -> tuple[float, float, float]:
    assert interval.mean is not None and interval.low is not None and interval.high is not None
    return interval.low, interval.mean, interval.high


@fast
@given(st.one_of(binary, graded))
def test_interval_contains_its_mean(values: list[float]) -> None:
    low, mean, high = bounds(mean_interval(values))
    assert low <= mean <= high
    assert mean == pytest.approx(sum(values) / len(values))


@fast
@given(binary)
def test_wider_level_is_wider(values: list[float]) -> None:
    low, _, high = bounds(mean_interval(values, level=0.8))
    wide_low, _, wide_high = bounds(mean_interval(values, level=0.99))
    assert wide_low <= low and high <= wide_high


@fast
@given(st.lists(st.tuples(maybe, maybe), max_size=15))
def test_paired_is_symmetric(pairs: list[tuple[float | None, float | None]]) -> None:
    before, after = [b for b, _ in pairs], [a for _, a in pairs]
    there, back = paired_delta(before, after), paired_delta(after, before)
    assert (there.p_greater, there.p_less) == (back.p_less, back.p_greater)
    assert (there.wins, there.losses, there.ties) == (back.losses, back.wins, back.ties)
    if there.delta.low is not None and back.delta.high is not None:
        assert there.delta.low == pytest.approx(-back.delta.high, abs=1e-9)
    assert 0 < there.p_two_sided <= 1


@fast
@given(st.lists(maybe, max_size=15))
def test_equal_data_is_no_difference(values: list[float | None]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        test = paired_delta(values, values)
    assert test.delta.mean in (0.0, None)
    assert test.p_two_sided == test.p_greater == test.p_less == 1.0


@fast
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_binary_delta_contains_difference(pairs: list[tuple[bool, bool]]) -> None:
    test = paired_delta([float(b) for b, _ in pairs], [float(a) for _, a in pairs])
    low, mean, high = bounds(test.delta)
    assert -1 <= low <= mean <= high <= 1
    assert mean == pytest.approx((test.wins - test.losses) / len(pairs))


def test_unknown_scores_are_left_out_pairwise() -> None:
    test = paired_delta([0.0, None, 1.0, 0.0], [1.0, 1.0, None, 1.0])
    assert (test.delta.mean, test.delta.n, test.coverage) == (1.0, 2, 0.5)
    nothing = paired_delta([None], [1.0])
    assert (nothing.delta.mean, nothing.coverage, nothing.p_greater) == (None, 0.0, 1.0)
    assert paired_delta([], []).coverage == 0.0
    assert str(mean_interval([None])) == "unknown"


def test_equal_binary_data_still_has_width() -> None:
    low, _, high = bounds(paired_delta([0.0, 1.0] * 3, [0.0, 1.0] * 3).delta)
    assert low < 0 < high


def test_repeats_exactly() -> None:
    rng = random.Random(0)
    before, after = ([rng.random() for _ in range(40)] for _ in range(2))
    assert paired_delta(before, after) == paired_delta(before, after)


@pytest.mark.parametrize("grades", [2, 5])
def test_null_candidates_rarely_pass(grades: int) -> None:
    """Of candidates that are like the incumbent, at most 5 % (plus 3 sigma of chance) look better."""
    rng, trials = random.Random(grades), 400 if grades == 2 else 150
    wrong = 0
    for _ in range(trials):
        rates = [rng.random() for _ in range(24 if grades == 2 else 10)]
        draw = [
            [sum(rng.random() < r for _ in range(grades - 1)) / (grades - 1) for r in rates] for _ in "ba"
        ]
        wrong += paired_delta(draw[0], draw[1]).p_greater <= 0.05
    assert wrong / trials <= 0.05 + 3 * (0.05 * 0.95 / trials) ** 0.5


def test_real_gain_is_seen() -> None:
    assert paired_delta([0.0] * 20, [1.0] * 8 + [0.0] * 12).p_greater < 0.01
    assert paired_delta([0.2] * 20, [0.6] * 8 + [0.2] * 12).p_greater < 0.01


@fast
@given(st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_is_the_mean_over_subsets(case: tuple[int, int, int]) -> None:
    n, c, k = case
    subsets = list(combinations([1] * c + [0] * (n - c), k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(max, subsets)) / len(subsets))


@pytest.mark.parametrize("n, c, k", [(4, 2, 5), (4, 2, 0), (4, 5, 1), (4, -1, 1)])
def test_pass_at_k_refuses(n: int, c: int, k: int) -> None:
    with pytest.raises(BadInput):
        pass_at_k(n, c, k)


def test_infinite_scores_are_refused() -> None:
    with pytest.raises(BadInput):
        mean_interval([0.5, float("inf")])
