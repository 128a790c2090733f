"""Whatever reads foreign texts answers, or raises what it declares, at once."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trust import fuzzing

from sharpen.core.seeds import random_for

NAMES = list(fuzzing.parsers())


@pytest.mark.parametrize("name", NAMES)
def test_mutated_texts(name: str) -> None:
    found = fuzzing.tried(name, 100, random_for("short", name))
    assert found["ok"], found


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(NAMES), st.text(max_size=200) | st.sampled_from(fuzzing.NASTY))
def test_any_text(name: str, text: str) -> None:
    parser = fuzzing.parsers()[name]
    assert fuzzing.trouble(parser, text[: parser.longest]) is None


def test_numbers_agree_with_exact_rationals() -> None:
    found = fuzzing.oracle(300, random_for("short oracle"))
    assert found["ok"], found
