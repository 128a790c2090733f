"""Monitors: exploration and flows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.core.attempt import Attempt, Author, Stop, Turn
from sharpen.core.verdict import Error, Rejected, Scored, Verdict
from sharpen.monitors.exploration import explore
from sharpen.monitors.flows import flows

score = st.one_of(st.none(), st.sampled_from([0.0, 0.5, 1.0]))


def attempt(
    task: str, index: int, text: str, *, stop: Stop = Stop.END, logprob: float | None = -0.5
) -> Attempt:
    ids = tuple(map(ord, text))
    logprobs = None if logprob is None else (logprob,) * len(ids)
    turns = (
        Turn(author=Author.TEMPLATE, text="Q", token_ids=(1, 2, 3)),
        Turn(author=Author.POLICY, text=text, token_ids=ids, logprobs=logprobs),
    )
    return Attempt(task=task, index=index, policy="p", turns=turns, stop=stop)


def last_word(text: str) -> str | None:
    return text.split()[-1] if text.split() else None


def test_explore_by_hand() -> None:
    attempts = [
        attempt("a", 0, "is 4"),
        attempt("a", 1, "or 4"),
        attempt("b", 0, "7", stop=Stop.LENGTH),
        attempt("b", 1, ""),
    ]
    verdicts: list[Verdict] = [
        Scored(value=1),
        Scored(value=0),
        Rejected(reason="leak"),
        Error(kind="timeout"),
    ]
    found = explore(attempts, verdicts, last_word)
    assert (found.tasks, found.attempts, found.k, found.coverage) == (2, 4, 2, 0.75)
    assert found.pass_at_1 == 0.25, "task a has 1 of 2, task b has 0 of 1"
    assert found.pass_at_k == 1.0, "only task a has two known verdicts"
    assert (found.distinct_answers, found.distinct_responses) == (1.0, 1.0)
    assert found.entropy == pytest.approx(0.5)
    assert (found.length, found.cut, found.no_answer) == (9 / 4, 0.25, 0.25)


def test_nothing_known_is_none() -> None:
    found = explore([attempt("a", 0, "x", logprob=None)], [Error(kind="crash")], last_word)
    assert found.pass_at_1 is None and found.pass_at_k is None and found.entropy is None
    empty = explore([], [], last_word)
    assert (empty.tasks, empty.k, empty.length) == (0, 0, None)


def test_misaligned_is_refused() -> None:
    with pytest.raises(ValueError):
        explore([attempt("a", 0, "x")], [], last_word)
    with pytest.raises(ValueError):
        flows([1.0], [])


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=30))
def test_order_does_not_matter_and_k_helps(rows: list[tuple[int, bool]]) -> None:
    attempts = [attempt(str(task), i, f"{i % 3}") for i, (task, _) in enumerate(rows)]
    verdicts: list[Verdict] = [Scored(value=float(right)) for _, right in rows]
    found = explore(attempts, verdicts, last_word)
    turned = explore(attempts[::-1], verdicts[::-1], last_word)
    assert found.model_dump() == pytest.approx(turned.model_dump())
    sizes = {task: sum(t == task for t, _ in rows) for task, _ in rows}
    if set(sizes.values()) == {found.k} and found.pass_at_1 is not None and found.pass_at_k is not None:
        assert found.pass_at_k >= found.pass_at_1 - 1e-12


@given(st.lists(st.tuples(score, score), max_size=40))
def test_flows_add_up_and_turn_round(pairs: list[tuple[float | None, float | None]]) -> None:
    before, after = [b for b, _ in pairs], [a for _, a in pairs]
    there, back = flows(before, after), flows(after, before)
    assert sum(there.model_dump().values()) == len(pairs)
    assert (there.wrong_to_right, there.right_to_wrong) == (back.right_to_wrong, back.wrong_to_right)
    known = [(b, a) for b, a in pairs if b is not None and a is not None]
    gained = sum(a >= 1 for _, a in known) - sum(b >= 1 for b, _ in known)
    assert there.wrong_to_right - there.right_to_wrong == gained
