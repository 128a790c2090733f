"""Instructions that a policy writes: which are kept, by rules, by novelty and by its own scores."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from sharpen.core.attempt import Attempt, Author, Stop, Turn
from sharpen.core.verdict import Error, Scored, Verdict
from sharpen.curation.proposals import FOREIGN, MOST_WORDS, REQUEST, acceptable, proposed, requests
from sharpen.monitors.side_effects import lost_skill
from sharpen.recipes.i_sheep import kept, passed

SEEDS = [f"question {letter} of all?" for letter in "abcdefgh"]


def reply(text: str, stop: Stop = Stop.END) -> Attempt:
    return Attempt(task="t", index=0, policy="p", turns=(Turn(author=Author.POLICY, text=text),), stop=stop)


def test_requests_show_different_seeds() -> None:
    asked = requests(SEEDS, random.Random(0), count=20, shown=5)
    for task in asked:
        first, *shown = task.question.splitlines()
        assert first == REQUEST and len(set(shown)) == 5 and set(shown) <= set(SEEDS)
    assert len({task.question for task in asked}) > 1
    assert requests(SEEDS[:2], random.Random(0), count=1, shown=5)[0].question.count("\n") == 2


@given(st.lists(st.text("ab X.\n-é?", max_size=9), max_size=9))
def test_what_is_kept_is_new_and_acceptable(texts: list[str]) -> None:
    found = proposed([reply(text) for text in texts], SEEDS)
    assert all(acceptable(text) and text not in SEEDS for text in found)
    assert len({text.casefold() for text in found}) == len(found)
    assert proposed([reply(text) for text in (*texts, *texts)], SEEDS) == found


def test_rules() -> None:
    assert proposed([reply("one more?"), reply("cut off", Stop.LENGTH), reply("one  More?")], ()) == (
        "one more?",
    )
    for bad in ("", "- a list", "two\nlines", "é first", "word " * (MOST_WORDS + 1), *FOREIGN):
        assert not acceptable(bad), bad


def test_both_scores_must_pass() -> None:
    verdicts: tuple[Verdict, ...] = (
        Scored(value=0.8, evidence={"quality": 0.9, "following": 0.7}),
        Scored(value=0.8, evidence={"quality": 1.0, "following": 0.6}),
        Error(kind="malformed"),
    )
    assert passed(verdicts, 0.6) == [True, False, False]
    attempts = [reply(text) for text in "abc"]
    assert [item.attempt.response for item in kept(attempts, [False, True, False]).items] == ["b"]


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_lost_skill_is_told(first: float, now: float) -> None:
    warning = lost_skill("writing", first, now)
    assert (warning is None) == (now >= 0.7 * first)
    assert warning is None or "writing" in warning
