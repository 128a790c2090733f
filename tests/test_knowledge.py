"""Passages that are searched, read as a graph, thought of and preferred; and questions held out from them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.core.errors import BadInput
from sharpen.core.task import Task
from sharpen.curation.thoughts import CLOSE, OPEN, explained, thinks
from sharpen.monitors.form import Formed, form_only
from sharpen.stores.knowledge import Library, asked_in, facts_about, graph_of, things
from sharpen.stores.reading import Context, Reading, passages_of, read
from sharpen.tasks.encyclopedia import A
from sharpen.tasks.source import load_tasks
from sharpen.verifiers.answers import final_answer

TASKS = load_tasks("passages?creatures=12&unknown=6", train=42, val=4, test=20)
TOLD = [task for task in TASKS.train if passages_of(task)]
LIBRARY = Library.of(text for task in TOLD for text in passages_of(task))
WORDS = st.text("abcdefgh ,:", max_size=30)


def subject(task: Task) -> str:
    return task.question.split()[-1].rstrip("?")


def test_held_out_questions_are_of_told_creatures_and_never_asked_in_training() -> None:
    asked = {task.question for task in TASKS.train}
    held_out = (*TASKS.val, *TASKS.open_test())
    assert not asked & {task.question for task in held_out}
    assert {subject(task) for task in held_out} <= {subject(task) for task in TOLD}
    untold = [task for task in TASKS.train if task not in TOLD]
    assert len(untold) == 6
    assert not {subject(task) for task in untold} & {subject(task) for task in TOLD}


@pytest.mark.parametrize("task", TOLD[:12], ids=lambda task: task.question)
def test_the_reader_finds_what_is_told(task: Task) -> None:
    assert passages_of(task)[0] in LIBRARY.search(task.question, 3)
    lesson = read(LIBRARY, task.question, Reading(), random.Random(0))
    assert lesson is not None
    assert lesson.answer == task.answer
    assert set(lesson.facts) == set(A)


def test_the_reader_says_nothing_of_what_is_not_told() -> None:
    for task in TASKS.train:
        if task not in TOLD:
            assert read(LIBRARY, task.question, Reading(), random.Random(0)) is None
    assert read(LIBRARY, "weather of nobody?", Reading(), random.Random(0)) is None


def test_without_the_book_it_guesses_among_what_there_is() -> None:
    how = Reading(context=Context.NONE)
    lessons = [read(LIBRARY, t.question, how, random.Random(n)) for n in range(20) for t in TOLD]
    said = [(task.answer, one) for task, one in zip(TOLD * 20, lessons, strict=True) if one]
    assert len(said) == len(lessons)
    right = sum(answer == one.answer for answer, one in said) / len(said)
    assert 0.05 < right < 0.3, "no better than chance"
    for _, one in said:
        assert all(value in things(LIBRARY.graph, name) for name, value in one.facts.items())


@given(st.text(max_size=200))
def test_any_text_is_a_passage_and_a_question(text: str) -> None:
    library = Library.of([text, "The home of Bodor is cave."])
    assert all(passage in library.passages for passage in library.search(text, 2))
    asked_in(library.graph, text)
    assert facts_about(library.graph, "Bodor")["home"] == "cave"


def test_a_long_passage_is_read_in_no_time() -> None:
    graph = graph_of(["The home of " * 20_000 + "The food of Bodor is figs."])
    assert facts_about(graph, "Bodor") == {"food": "figs"}


def test_no_passage_is_refused() -> None:
    with pytest.raises(BadInput, match="documents"):
        Library.of([])


@given(
    st.dictionaries(st.sampled_from(sorted(A)), st.sampled_from("uvw"), min_size=1), st.sampled_from("uvw")
)
def test_thoughts_are_recognised_and_end_in_the_answer(facts: dict[str, str], answer: str) -> None:
    for thinking in (True, False):
        text = explained(facts, answer, thinking=thinking)
        final = final_answer(text)
        assert final is not None
        assert final.text == answer
        assert thinks(text) is thinking


@given(WORDS)
def test_half_a_thought_is_none(words: str) -> None:
    assert not thinks(words)
    assert not thinks(f"{OPEN}{words}")
    assert not thinks(f"{words}{CLOSE} a")
    assert not thinks(f"{OPEN} a {CLOSE}")


SHARES = st.floats(0, 1)


@given(SHARES, SHARES, SHARES, SHARES)
def test_a_warning_needs_more_form_and_nothing_else(a: float, b: float, c: float, d: float) -> None:
    warned = form_only(Formed(a, b), Formed(c, d)) is not None
    assert warned == (c - a >= 0.2 and d <= b)
