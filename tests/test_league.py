"""A league of equal arms declares no difference, a planted one is found, and what is said hangs together."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers_league import declares_anything, false_alarms, made_up
from sharpen.core.league import holm, league, level, over_seeds

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=6)


def test_equal_arms_are_not_told_apart() -> None:
    """tools/null_leagues.py does this for more leagues of more kinds."""
    assert false_alarms(30, tasks=60) <= 2
    assert false_alarms(30, tasks=60, of_seeds=0.0, seeds=3, greedy_control=True) <= 2


def test_a_planted_gain_is_found() -> None:
    found = [league(*made_up(number, tasks=900, of_seeds=0.01, gain=0.1)) for number in range(6)]
    assert sum(one.against["method 0"].clear for one in found) >= 5
    for one in found:
        tested = one.against["method 0"]
        assert tested.delta.mean is not None and 0.02 < tested.delta.mean < 0.16
        if tested.clear:
            assert one.ranks["no update"] > one.ranks["method 0"] == 1


def test_one_seed_claims_nothing() -> None:
    methods, controls = made_up(0, seeds=1, tasks=200, gain=0.4)
    found = league(methods, controls)
    assert not declares_anything(found) and set(found.ranks.values()) == {1}
    assert found.against["method 0"].p_value is None


def test_a_loss_is_told_from_a_gain() -> None:
    methods, controls = made_up(1, tasks=300, of_seeds=0.0, gain=-0.3)
    found = league(methods, controls)
    assert found.against["method 0"].clear and found.against["method 0"].delta.below_zero
    assert found.ranks["method 0"] > found.ranks[found.best_control]


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6), st.floats(-0.4, 0.4), st.integers(2, 4), st.integers(2, 20))
def test_intervals_and_claims_hang_together(number: int, gain: float, seeds: int, tasks: int) -> None:
    methods, controls = made_up(number, seeds=seeds, tasks=tasks, methods=2, gain=gain)
    found = league(methods, controls)
    best = level(controls[found.best_control]).mean
    for name, tested in found.against.items():
        delta, score = tested.delta, level(methods[name])
        assert delta.mean is not None and score.mean is not None and best is not None
        assert delta.mean == pytest.approx(score.mean - best)
        assert delta.low is not None and delta.high is not None
        assert delta.low <= delta.mean + 1e-12 and delta.mean <= delta.high + 1e-12
        assert tested.clear == (delta.low > 0 or delta.high < 0)
        assert tested.p_value is not None and tested.clear == (tested.p_value <= 0.05)
    for (one, other), tested in found.pairs.items():
        if tested.clear:
            assert (found.ranks[one] < found.ranks[other]) == tested.delta.above_zero


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10**6))
def test_the_order_of_arms_and_seeds_does_not_matter(number: int) -> None:
    methods, controls = made_up(number, seeds=3, tasks=12, methods=3, gain=0.3)
    found = league(methods, controls)
    turned = league(
        {name: rows[::-1] for name, rows in reversed(methods.items())},
        {name: rows[::-1] for name, rows in controls.items()},
    )
    assert found.ranks == turned.ranks
    for name, tested in found.against.items():
        assert tested.p_value == pytest.approx(turned.against[name].p_value)


def test_unknown_scores_leave_their_task_out() -> None:
    methods, controls = made_up(2, seeds=3, tasks=10)
    holed = {**methods, "method 0": [[None, *row[1:]] for row in methods["method 0"]]}
    assert league(holed, controls).against["method 0"].delta.n == 27
    assert level(holed["method 0"]).n == 27
    nothing = {**methods, "method 0": [[None] * 10] * 3}
    assert league(nothing, controls).against["method 0"].delta.mean is None


@given(P_VALUES)
def test_holm_is_monotone_and_never_below_the_p_value(p_values: list[float]) -> None:
    found = holm(p_values)
    for p, (corrected, error) in zip(p_values, found, strict=True):
        assert p <= corrected <= 1 and 0.025 / len(p_values) <= error + 1e-12 <= 0.025 + 2e-12
        assert (corrected <= 0.05) == (p <= error)
    for one, other in permutations(zip(p_values, found, strict=True), 2):
        assert one[0] > other[0] or one[1][0] <= other[1][0]


def test_holm_known_case() -> None:
    """Holm (1979) by hand: four p-values, of which the smallest is rejected; twice, for two families."""
    assert [p for p, _ in holm([0.01, 0.04, 0.03, 0.005])] == pytest.approx([0.06, 0.12, 0.12, 0.04])
    assert [error for _, error in holm([0.01, 0.04, 0.03, 0.005])] == pytest.approx(
        [0.025 / 3, 0.025 / 3, 0.025 / 3, 0.025 / 4]
    )


def test_arms_of_different_shapes_are_refused() -> None:
    methods, controls = made_up(3, seeds=3, tasks=10)
    with pytest.raises(ValueError, match="different shapes"):
        league({**methods, "method 0": methods["method 0"][:2]}, controls)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_an_interval_over_seeds_holds_their_mean(values: list[float]) -> None:
    found = over_seeds(values)
    assert found.low is not None and found.high is not None and found.mean is not None
    assert found.low <= found.mean + 1e-9 and found.mean <= found.high + 1e-9
