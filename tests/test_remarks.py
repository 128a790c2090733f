"""Feedback and refinement as dialogues: the checker, its verdict, and what is learnt of both."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.policy import Policy
from sharpen.core.task import Role, Task
from sharpen.curation.remarks import AGAIN, CHECK, FINE, after, annotated, approved, checked, solved
from sharpen.tasks import chain, offhand

POLICY = Policy(model="m", base="b")


def task(seed: int = 0) -> Task:
    return offhand.generate(random.Random(seed), level=2)


def said(one: Task, text: str) -> Attempt:
    turns = (Turn(author=Author.TEMPLATE, text="Q"), Turn(author=Author.POLICY, text=f" {text}"))
    return Attempt(task=one.key, index=0, policy="p", turns=turns)


def test_a_dialogue_goes_on_and_keeps_the_reference() -> None:
    one = after(after(task(), "#### 3", CHECK), FINE, AGAIN)
    assert [message.content for message in one.messages[1:]] == ["#### 3", CHECK, FINE, AGAIN]
    assert one.messages[-1].role is Role.USER and one.answer == task().answer
    assert POLICY.prompt.text(one).endswith(f"\n\nQ: {AGAIN}\nA:")


@given(st.integers(0, 500))
def test_right_answers_are_approved_and_repeated(seed: int) -> None:
    one = task(seed)
    note = checked(one, one.solution or "")
    assert approved(note.feedback) is True and note.refined == one.solution
    steps_first = checked(one, "").refined
    assert checked(one, steps_first).refined == steps_first


@given(st.integers(0, 500), st.text(max_size=40))
def test_wrong_answers_are_refined_to_the_solution_steps_first(seed: int, words: str) -> None:
    one = task(seed)
    note = checked(one, words)
    if approved(note.feedback) is False:
        assert note.refined.splitlines()[-1] == f"#### {one.answer}"
        assert note.feedback.splitlines()[0] == f"#### {one.answer}"
    else:
        assert f"#### {one.answer}" in words.splitlines()


def test_the_first_missing_step_is_named() -> None:
    one = chain.generate(random.Random(3), level=3).as_task("chain")
    lines = (one.solution or "").splitlines()
    note = checked(one, "\n".join([lines[0], "1+1=2", *lines[2:]]))
    assert note.feedback == f"{lines[-1]}\n{lines[1]}\nVerdict: wrong"
    with pytest.raises(ValueError, match="no worked solution"):
        checked(Task.ask("1+1?", "2"), "2")


@pytest.mark.parametrize("text", ["", "right", "Verdict: right\nor not", "Verdict: maybe"])
def test_feedback_without_a_verdict_says_nothing(text: str) -> None:
    assert approved(text) is None


def test_what_is_learnt_of_remarks() -> None:
    tasks = [task(n) for n in range(3)]
    texts = [tasks[0].solution or "", "#### 999", "#### 999"]
    answers = [said(one, text) for one, text in zip(tasks, texts, strict=True)]
    batch = annotated(tasks, answers, POLICY, 0.5)
    assert [item.weight for item in batch.items] == [1.0] * 10 + [0.5] * 3, "a right answer is there once"
    assert len(annotated(tasks, answers, POLICY, 0.0)) == 10
    feedback, refined, approval, repeated = (batch.items[place].attempt for place in (2, 3, 6, 7))
    assert feedback.turns[0].text.endswith(f"Q: {CHECK}\nA:") and approved(feedback.turns[1].text) is False
    assert refined.turns[1].text.strip() == checked(tasks[1], "").refined
    assert approved(approval.turns[1].text) is True and repeated.turns[1].text == refined.turns[1].text
    whole = solved(tasks, POLICY).items[0].attempt
    assert whole.turns[1].text.endswith(f"#### {tasks[0].answer}")
