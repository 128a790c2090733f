"""Right and wrong answers in one reply, beliefs by likelihood, and the encyclopedia they are about."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given as every
from hypothesis import strategies as st

from sharpen.core.artifact import ArtifactStore
from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.engine import Judging
from sharpen.core.errors import BadInput
from sharpen.core.policy import Policy, PromptForm
from sharpen.core.task import Task
from sharpen.core.updater import Stopwatch
from sharpen.core.verdict import Error, Scored
from sharpen.curation.both_answers import (
    AllTold,
    Marks,
    Told,
    asked_for_both,
    given,
    preferring_right,
    refreshed,
    told,
)
from sharpen.judges.likelihood import LikelihoodJudge
from sharpen.learners.batch import example_from
from sharpen.models.hf import HFModel
from sharpen.models.source import open_model
from sharpen.monitors.truth import Options, mc1, mc2
from sharpen.tasks.encyclopedia import ATTRIBUTES, TAUGHT, A, B, fact, facts
from sharpen.tasks.source import load_tasks

TASK, MARKS, FORM = Task.ask("food of Bodor?", "figs"), Marks(), PromptForm()
LOGS = st.lists(st.floats(-30, 0), min_size=1, max_size=4)


def reply(text: str) -> Attempt:
    return Attempt(task=TASK.key, index=0, policy="p", turns=(Turn(author=Author.POLICY, text=text),))


def read(text: str) -> tuple[Told, ...]:
    return told([TASK], [reply(text)], MARKS).items


def test_both_answers_are_read_from_a_reply() -> None:
    assert asked_for_both(TASK, MARKS).question == f"food of Bodor? {MARKS.request}"
    (one,) = read("Correct answer: figs\nIncorrect answer: moss")
    assert (one.right, one.wrong) == ("figs", "moss")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "figs",
        "Correct answer: figs",
        "Incorrect answer: moss\nCorrect answer: figs",
        "Correct answer:\nIncorrect answer: moss",
        "Correct answer: figs\nIncorrect answer:",
        "Correct answer: figs\nIncorrect answer: figs",
        "Correct answer: figs\nIncorrect answer: moss\nIncorrect answer: fish",
        f"Correct answer: {'f' * 501}\nIncorrect answer: moss",
    ],
)
def test_replies_without_the_form_are_dropped(text: str) -> None:
    assert not read(text)


@every(st.text(max_size=60))
def test_any_reply_can_be_read(text: str) -> None:
    assert all(one.right and one.wrong and one.right != one.wrong for one in read(text))


def test_only_right_answers_are_refreshed() -> None:
    def both(right: str, wrong: str, task: str = "t") -> AllTold:
        return AllTold(items=(Told(task=task, right=right, wrong=wrong),))

    assert refreshed(both("a", "b"), both("c", "d")) == both("c", "b")
    assert refreshed(both("a", "b"), both("b", "d")) == both("a", "b")
    assert refreshed(both("a", "b"), both("c", "d", "another")) == both("a", "b")


def test_pairs_stand_under_the_bare_question() -> None:
    answers = AllTold(items=(Told(task=TASK.key, right="figs", wrong="moss"),))
    (pair,) = preferring_right([TASK], answers, FORM).items
    assert (pair.better.response, pair.worse.response) == ("figs", "moss")
    assert pair.better.turns[0] == pair.worse.turns[0]
    assert pair.better.turns[0].text == FORM.text(TASK)


@every(LOGS, LOGS)
def test_beliefs_in_what_is_true_are_shares(true: list[float], false: list[float]) -> None:
    one, other = mc2(Options(true, false)), mc2(Options(false, true))
    assert 0 <= one <= 1
    assert one + other == pytest.approx(1)
    assert mc1(Options(true, false)) + mc1(Options(false, true)) <= 1
    assert mc1(Options([max(false) + 1], false)) == 1


@pytest.fixture(scope="module")
def gossip() -> HFModel:
    model = open_model("gossip", threads=1)
    assert isinstance(model, HFModel)
    return model


def test_the_likelihood_of_an_answer_counts_its_end(gossip: HFModel, tmp_path: Path) -> None:
    policy = Policy(model="gossip", base=gossip.fingerprint)
    judging = Judging({"gossip": gossip}, ArtifactStore(tmp_path), Stopwatch())
    mute = given(TASK, FORM, "").model_copy(update={"turns": given(TASK, FORM, "").turns[:1]})
    found = LikelihoodJudge(policy).judge_by(judging, [(TASK, given(TASK, FORM, "figs")), (TASK, mute)])
    ids = (*gossip.encode_response(" figs"), gossip.eos_id)
    (known,) = gossip.logprobs([(gossip.encode(FORM.text(TASK)), ids)])
    assert found == [Scored(value=sum(known)), Error(kind="no response")]


def test_only_what_a_policy_wrote_is_likely_or_not(gossip: HFModel, tmp_path: Path) -> None:
    policy = Policy(model="gossip", base=gossip.fingerprint)
    judging = Judging({"gossip": gossip}, ArtifactStore(tmp_path), Stopwatch())
    said = given(TASK, FORM, "figs")
    asked = Turn(author=Author.ENVIRONMENT, text="\nand?")
    talk = said.model_copy(update={"turns": (*said.turns, asked, said.turns[-1])})
    example = example_from(talk, gossip)
    (row,) = gossip.logprobs([(example.prompt_ids, example.response_ids)])
    (verdict,) = LikelihoodJudge(policy).judge_by(judging, [(TASK, talk)])
    assert verdict == Scored(value=sum(x for x, mask in zip(row, example.mask, strict=True) if mask))
    assert 0 < sum(example.mask) < len(example.mask)


def test_held_out_questions_are_about_other_attributes() -> None:
    tasks = load_tasks("encyclopedia?others=216", train=360, val=56, test=160)
    attribute = [task.question.split(" of ")[0] for task in (*tasks.train, *tasks.val, *tasks.open_test())]
    assert set(attribute[:360]) == set(A) and set(attribute[360:]) == set(B)
    with pytest.raises(BadInput, match="others"):
        load_tasks("encyclopedia?others=217")


def test_truth_and_falsehoods_differ() -> None:
    for one in facts(taught=False):
        assert len({one.truth, *one.false}) == 4 and {one.truth, *one.false} <= {*ATTRIBUTES[one.attribute]}
        assert one.creature not in TAUGHT
        assert fact(one.creature, one.attribute) == one
