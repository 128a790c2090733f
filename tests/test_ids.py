"""Budgets of iterative deepening, and answers with words from outside."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers_run import engine
from sharpen.actors.base import Cast, Stage
from sharpen.core.attempt import Attempt, Author, Stop, Turn, parted
from sharpen.core.policy import Policy
from sharpen.core.run import Run
from sharpen.core.task import Task
from sharpen.core.updater import Stopwatch
from sharpen.curation.own_words import learnt_from
from sharpen.learners.batch import example_from
from sharpen.models.hf import HFModel
from sharpen.models.source import open_model
from sharpen.recipes.ids import Config, Schedule, interruption, limits
from sharpen.search.interruption import Told, affordable, interrupted
from sharpen.tasks.countdown import generate

TASKS = [generate(Random(number), level=3) for number in range(12)]
GEOMETRIC = st.sampled_from([Schedule.TOTAL, Schedule.SEGMENT, Schedule.FIXED])


@pytest.fixture(scope="module")
def ponder() -> HFModel:
    model = open_model("ponder", threads=1)
    assert isinstance(model, HFModel)
    return model


def drawn(folder: Path, model: HFModel, **settings: object) -> list[Told]:
    made = engine(folder)
    actor = Cast(Stage({"ponder": model}, made.store, Stopwatch()))
    run = Run(replace(made, actor=actor, models={"ponder": model}))
    policy = Policy(model="ponder", base=model.fingerprint)
    return interrupted(run, policy, TASKS, interruption(Config(**{"B_max": 90, **settings})))


@given(schedule=GEOMETRIC, b0=st.integers(1, 50), gamma=st.floats(1.01, 9), most=st.integers(1, 200))
def test_limits_grow_to_the_most(schedule: Schedule, b0: int, gamma: float, most: int) -> None:
    found = limits(Config(schedule=schedule, b0=b0, gamma=gamma, B_max=most))
    assert found[-1] == most
    assert list(found) == sorted(found)
    assert found[0] == (b0 if b0 < most else most)


@given(b0=st.integers(1, 20), k=st.integers(2, 4))
def test_segments_and_totals_of_a_doubling_budget(b0: int, k: int) -> None:
    total = limits(Config(b0=b0, B_max=1000))
    segment = limits(Config(schedule=Schedule.SEGMENT, b0=b0, B_max=1000))
    assert total[:4] == (b0, 2 * b0, 4 * b0, 8 * b0)
    assert segment[:4] == (b0, 3 * b0, 7 * b0, 15 * b0)
    fixed = limits(Config(schedule=Schedule.FIXED, b0=b0, B_max=1000))
    assert {after - before for before, after in pairwise(fixed[:-1])} == {b0}


def test_an_infinite_budget_is_plain_sampling(ponder: HFModel, tmp_path: Path) -> None:
    plain = drawn(tmp_path / "plain", ponder, schedule="never")
    assert drawn(tmp_path / "gamma", ponder, gamma=None) == plain
    assert drawn(tmp_path / "b0", ponder, b0=90) == plain
    assert drawn(tmp_path / "late", ponder, b0=89, on_eos="stop") == plain


def test_words_stand_at_boundaries_and_are_counted(ponder: HFModel, tmp_path: Path) -> None:
    words = len(ponder.encode_response("\ncheck:"))
    for one in drawn(tmp_path, ponder, b0=15):
        turns = one.attempt.turns[1:]
        put_in = [place for place, turn in enumerate(turns) if turn.author is Author.TEMPLATE]
        assert len(put_in) == one.times >= 1
        for place in put_in:
            assert turns[place].text == "\ncheck:"
            assert not turns[place - 1].text.endswith("\n")
            assert ponder.eos_id not in turns[place - 1].token_ids
            assert ponder.decode(turns[place - 1].token_ids) == turns[place - 1].text
        assert one.tokens >= one.attempt.token_count + words * one.times
        mask = example_from(one.attempt, ponder).mask
        assert mask.count(0.0) == words * one.times


def test_one_trigger_after_the_end(ponder: HFModel, tmp_path: Path) -> None:
    plain = drawn(tmp_path / "plain", ponder, schedule="never")
    for one, first in zip(drawn(tmp_path / "end", ponder, schedule="at-end"), plain, strict=True):
        assert one.times == 1
        assert one.first == first.attempt or first.attempt.stop is Stop.LENGTH


@given(text=st.text("ab\n", min_size=1, max_size=12), data=st.data())
def test_a_parted_turn_loses_nothing(text: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(text)))
    end = 7
    ids = (*map(ord, text), end)
    turn = Turn(
        author=Author.POLICY, text=text, token_ids=ids, logprobs=tuple(-float(i) for i in range(len(ids)))
    )
    whole = Attempt(task="t", index=0, policy="p", turns=(turn,))
    first, second = parted(whole, place, lambda ids: "".join(chr(i) for i in ids if i != end)).turns
    assert first.text == text[:place] and second.text == text[place:]
    assert first.token_ids + second.token_ids == ids and second.token_ids[-1] == end
    assert (first.logprobs or ()) + (second.logprobs or ()) == turn.logprobs


def test_answers_are_bought_until_the_tokens_are_spent() -> None:
    attempt = Attempt(task=Task.ask("q", "a").key, index=0, policy="p", turns=())
    told = [Told(attempt, attempt, tokens, 0) for tokens in (50, 40, 30)]
    assert [len(affordable(told, tokens)) for tokens in (10, 50, 89, 90, 500)] == [1, 1, 1, 2, 3]


def test_what_was_mended_is_not_learnt() -> None:
    def turn(author: Author, text: str) -> Turn:
        return Turn(author=author, text=text, token_ids=(1,))

    turns = (
        turn(Author.TEMPLATE, "Q"),
        turn(Author.POLICY, "wrong"),
        turn(Author.TEMPLATE, "check:"),
        turn(Author.POLICY, "right"),
    )
    learnt = learnt_from(Attempt(task="t", index=0, policy="p", turns=turns), 2).turns
    assert [t.author for t in learnt] == [Author.TEMPLATE, Author.POLICY, Author.TEACHER, Author.POLICY]
    assert [t.trained for t in learnt[1:]] == [False, True, True]
