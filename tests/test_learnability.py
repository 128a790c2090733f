"""Learnability, task buffer, diversity, choices, lessons and forks."""

from __future__ import annotations

import random
from collections import Counter
from math import isclose, log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpen.core.errors import BadInput
from sharpen.core.policy import Policy
from sharpen.core.task import Task
from sharpen.curation.learnability import in_band, rare_success, return_variance, top2_margin
from sharpen.curation.lessons import lessons, off, questions
from sharpen.curation.task_buffer import Entry, Start, TaskBuffer
from sharpen.learners.choices import Choices, DrawnSet
from sharpen.monitors.diversity import distances, diversity, entropy, relative_distances, vendi
from sharpen.search.forks import Fork, Forks

MARKS = st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=12)
SCORES = st.floats(0, 0.25)
TEXTS = st.lists(st.text("abc 123", max_size=12), min_size=1, max_size=8)


@given(MARKS)
def test_variance_of_right_and_wrong_is_p_times_1_minus_p(marks: list[float]) -> None:
    p = sum(marks) / len(marks)
    assert isclose(return_variance(marks), p * (1 - p), abs_tol=1e-12)
    assert return_variance([*marks, None]) == return_variance(marks)
    assert rare_success(marks) == (1 - p if p else 0.0)
    assert in_band(marks, 0, 1) and in_band(marks, p, p)


def test_nothing_known_is_nothing_to_learn() -> None:
    assert return_variance([1.0, None]) == 0.0
    assert rare_success([None]) == 0.0
    assert not in_band([None], 0, 1)


@given(st.lists(st.sampled_from(["a", "b", "c", None]), max_size=12))
def test_margin_lies_between_tie_and_agreement(answers: list[str | None]) -> None:
    assert 0 <= top2_margin(answers) <= 1
    assert top2_margin(answers) == top2_margin(answers[::-1])


def test_margin_of_known_votes() -> None:
    assert top2_margin(["a", "a", "b", None]) == 0.25
    assert top2_margin(["a"] * 3) == 1.0
    assert top2_margin(["a", "b"]) == 0.0


def entry(number: int, score: float) -> Entry:
    return Entry(start=Start(task=Task.ask(f"{number}?", "1")), score=score)


@given(st.lists(st.tuples(st.integers(0, 9), SCORES), max_size=25), st.integers(1, 6))
def test_a_buffer_keeps_the_best_and_each_start_once(rows: list[tuple[int, float]], capacity: int) -> None:
    buffer = TaskBuffer(capacity=capacity)
    for number, score in rows:
        fresh = entry(number, score)
        before = {one.start.key: one.score for one in buffer.entries}
        buffer = buffer.put(fresh)
        after = {one.start.key: one.score for one in buffer.entries}
        assert len(after) == len(buffer) <= capacity
        if fresh.start.key in before or len(before) < capacity or score >= min(before.values()):
            assert after[fresh.start.key] == score
        else:
            assert after == before


def test_draws_follow_the_softmax() -> None:
    buffer = TaskBuffer(capacity=2).put(entry(1, 0.0), entry(2, log(3)))
    rng = random.Random(0)
    drawn = Counter(buffer.drawn(rng, 1.0).score for _ in range(4000))
    assert abs(drawn[log(3)] / 4000 - 0.75) < 0.03
    with pytest.raises(IndexError):
        TaskBuffer(capacity=2).drawn(rng, 1.0)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(max_size=3), max_size=4))
def test_start_states_grow_and_go_back(answers: list[str]) -> None:
    start = Start(task=Task.ask("1?", "1"))
    grown = start
    for answer in answers:
        grown = grown.after(answer)
    assert grown.depth == len(answers) and grown.prefix(0) == start
    assert (grown.key == start.key) == (not answers)


@settings(max_examples=40, deadline=None)
@given(TEXTS)
def test_vendi_counts_from_one_to_the_number_of_different_texts(texts: list[str]) -> None:
    score = vendi(texts)
    assert 1 <= score <= len(set(texts))
    assert isclose(score, vendi([*texts, *texts]), abs_tol=1e-4)
    assert vendi([texts[0]] * 3) == 1.0


@settings(max_examples=40, deadline=None)
@given(TEXTS)
def test_distances_are_aligned_and_nought_for_equal_texts(texts: list[str]) -> None:
    assert len(relative_distances(texts)) == len(distances(texts)) == len(texts)
    assert relative_distances([texts[0]] * 4) == (1.0,) * 4
    assert all(far >= 0 for far in distances(texts))


def test_diversity_falls_with_collapse() -> None:
    wide, narrow = diversity(["12+5", "gcd of 4, 6", "sort b, a"]), diversity(["1+1", "2+2", "1+1"])
    assert wide.vendi is not None and narrow.vendi is not None and wide.vendi > narrow.vendi
    assert narrow.templates == 0.0 and isclose(entropy(["a", "b"]), log(2))
    assert diversity([]).numbers == {}


@given(st.floats(-2, 2), st.lists(st.sampled_from("ab"), min_size=1, max_size=9))
def test_choices_move_with_their_advantage(advantage: float, drawn: list[str]) -> None:
    start = Choices(logits={"a": 0.0, "b": 0.0})
    moved = start.moved([DrawnSet(choices=tuple(drawn), advantage=advantage)], lr=1.0)
    lean = advantage * (drawn.count("a") - drawn.count("b"))
    change = moved.probabilities["a"] - 0.5
    assert abs(lean) < 1e-6 or lean * change > 0
    assert isclose(sum(moved.logits.values()), 0.0, abs_tol=1e-6)
    assert moved.entropy <= start.entropy + 1e-12


def test_unknown_choices_are_refused() -> None:
    with pytest.raises(BadInput, match="unknown"):
        Choices(logits={"a": 0.0}).moved([DrawnSet(choices=("z",), advantage=1.0)], lr=1.0)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 999))
def test_wrong_answers_are_wrong_and_said_so(seed: int) -> None:
    choices = Choices(logits={"chain?level=2": 0.0, "offhand?level=1": 0.0})
    right = questions(choices, random.Random(seed), 3, 0.0)
    for task in right.tasks:
        wrong = off(task, random.Random(seed))
        assert wrong.answer != task.answer and f"#### {wrong.answer}" in (wrong.solution or "")
    items = lessons(right.tasks, Policy(model="m", base="b").prompt).items
    assert [item.attempt.task for item in items] == [task.key for task in right.tasks]


def test_the_median_fork_is_the_lower_middle_one() -> None:
    policy = Policy(model="m", base="b")
    forks = Forks(tuple(Fork(policy, gain) for gain in (0.3, -0.1, 0.2, 0.0)))
    assert forks.median.gain == 0.0 and isclose(forks.gain, 0.1)
