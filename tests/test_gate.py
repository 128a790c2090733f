"""The gate accepts what is no improvement in at most one run of twenty, whatever the rounds do."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trust import gates

from sharpen.core.gate import UNSPENT, Decision, GateMode, GateRule
from sharpen.core.seeds import random_for
from sharpen.core.stats import no_gain

scores = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30)
VERSIONS = ("old", "new")


@settings(deadline=None)
@given(st.lists(st.booleans(), max_size=60))
def test_levels_of_candidates_that_are_no_gain_sum_to_alpha(true_gains: list[bool]) -> None:
    """The bound behind the claim: true gains hand their level on, and the others' sum stays below alpha."""
    spent, total = UNSPENT, 0.0
    for gain in true_gains:
        level = spent.level(0.05)
        total += 0.0 if gain else level
        spent = spent.after(level, accepted=gain)
    assert total <= 0.05 + 1e-12


@settings(deadline=None)
@given(scores)
def test_a_p_value_is_one_and_falls_with_gains(pairs: list[tuple[float, float]]) -> None:
    before, after = [b for b, _ in pairs], [a for _, a in pairs]
    assert 0 < no_gain(before, after) <= 1
    assert no_gain(before, before) == 1.0
    assert no_gain([0.0] * len(pairs), [1.0] * len(pairs)) <= no_gain(before, after) + 1e-9


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_betting_is_exact_for_lopsided_scores(seed: int) -> None:
    """Many small gains and few great losses, zero on the whole, rarely look like a gain."""
    rng = random_for(seed)
    ps = [no_gain([0.5] * 20, [0.54 if rng.random() < 0.9 else 0.14 for _ in range(20)]) for _ in range(50)]
    assert sum(p <= 0.05 for p in ps) <= 10


@pytest.mark.parametrize("world", gates.NULLS)
def test_simulated_runs_rarely_accept_nothing(world: str) -> None:
    """At most 5 % of runs (plus 3 sigma of chance)."""
    runs = [gates.simulated(gates.NULLS[world], random_for("short", world, n)) for n in range(25)]
    assert sum(run.false for run in runs) / 25 <= 0.05 + 3 * (0.05 * 0.95 / 25) ** 0.5


def test_the_report_carries_the_state_of_the_test() -> None:
    rule = GateRule(mode=GateMode.ENFORCE)
    gain = rule.decide([0.0] * 20, [1.0] * 20, versions=VERSIONS)
    assert gain.decision is Decision.ACCEPTED and gain.adopted and gain.level == 0.025
    after = rule.decide([0.0] * 20, [1.0] * 20, versions=VERSIONS, spent=gain.spending)
    assert after.level == pytest.approx(0.05 / 6 + 0.025)
    for same in (
        rule.decide([0.0] * 20, [1.0] * 20, versions=("one", "one")),
        rule.decide([0.0] * 20, [None] * 3 + [1.0] * 17, versions=VERSIONS),
        rule.decide([0.0] * 20, [1.5] * 20, versions=VERSIONS),
    ):
        assert same.decision is Decision.UNDECIDED and not same.adopted
        assert same.spending == UNSPENT and same.level is None
