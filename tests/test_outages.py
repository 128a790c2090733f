"""Judges that fail, schedules that differ, things that stand still: nothing is made up, all is named."""

from __future__ import annotations

import pytest
from trust import freezes, outages, schedules


@pytest.mark.parametrize("share", [0.1, 1.0])
def test_verdicts_that_fail_are_no_zeros(share: float) -> None:
    assert outages.problems(share, 0) == []


def test_gaps_change_no_decision() -> None:
    assert [text for seed in range(20) for text in outages.same_decision(seed)] == []


def test_other_schedules_make_the_same_run() -> None:
    assert not any(schedules.differs(seed) for seed in range(3))


@pytest.mark.parametrize("what", ["a judge's worker, stopped", "a model's server, silent"])
def test_what_stands_still_is_given_up_and_named(what: str) -> None:
    ended = freezes.FREEZES[what]()
    assert ended.named, ended.said
