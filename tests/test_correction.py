"""Second answers: their decomposition, the dialogue that asks for them, the items they are learnt from."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sharpen.core.attempt import TEACHES, Attempt, Author, Provenance, Turn
from sharpen.core.policy import PromptForm, Shot, Style
from sharpen.core.task import Message, Role, Task
from sharpen.core.verdict import Error, Scored, Verdict
from sharpen.curation.asked_again import (
    ADVICE,
    Pair,
    Wording,
    all_asked_again,
    answered,
    asked_again,
    pairs_of,
)
from sharpen.experiment.check_recipe import StopAfter, small_spec
from sharpen.experiment.execute import execute
from sharpen.monitors.correction import Chances, cells, decompose, from_labels, from_samples
from sharpen.recipes.confidence_critique import Config, Shown, Train, keep_and_mend, seen
from sharpen.tasks import chain, offhand

chance = st.floats(0, 1)
question = st.builds(Chances, chance, chance, chance)
score = st.one_of(st.none(), st.sampled_from([0.0, 0.5, 1.0]))


@given(st.lists(question, min_size=1, max_size=30))
def test_identity_and_bounds(questions: list[Chances]) -> None:
    found = decompose(questions)
    assert found is not None
    cl, cs = found.cl or 0.0, found.cs or 0.0
    assert found.acc2 == pytest.approx(found.acc1 * cl + (1 - found.acc1) * cs, abs=1e-9)
    for value in (found.acc1, found.acc2, cl, cs):
        assert 0 <= value <= 1 + 1e-12
    if found.rss is not None and 0.01 < found.acc1 < 0.99:
        assert (found.rss > 0.5 + 1e-6) <= (found.acc2 > found.acc1)
        if cs <= found.acc1 <= cl:
            assert -1e-9 <= found.rss <= 1 + 1e-9


@given(st.lists(question, min_size=1, max_size=20), st.randoms())
def test_order_of_questions_does_not_matter(questions: list[Chances], rng: object) -> None:
    one, two = decompose(questions), decompose(questions[::-1])
    assert one is not None and two is not None
    assert one.numbers == pytest.approx(two.numbers)


def test_levels_are_weighted_by_how_often_their_condition_occurs() -> None:
    found = decompose([Chances(1.0, 0.8, 0.0), Chances(0.25, 0.0, 0.4)])
    assert found is not None
    assert (found.acc1, found.acc2) == pytest.approx((0.625, (0.8 + 0.3) / 2))
    assert found.cl == pytest.approx(0.8 / 1.25), "not the mean of 0.8 and 0"
    assert found.cs == pytest.approx(0.3 / 0.75)
    assert found.rss == pytest.approx((0.55 - 0.625**2) / (2 * 0.625 * 0.375))


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_no_score_where_all_or_none_are_right(right: float) -> None:
    found = decompose([Chances(right, 0.5, 0.5)] * 3)
    assert found is not None and found.rss is None
    assert (found.cl is None, found.cs is None) == (right == 0, right == 1)
    assert found.acc2 == 0.5 and set(found.numbers) == {"Acc1", "Acc2", "CL" if right else "CS"}


def test_half_means_that_nothing_changes_and_the_bounds_are_reached() -> None:
    for kept, mended, wanted in ((1.0, 0.0, 0.5), (0.6, 0.0, 0.0), (1.0, 0.6, 1.0)):
        found = decompose([Chances(1.0, kept, 0.0)] * 6 + [Chances(0.0, 0.0, mended)] * 4)
        assert found is not None and found.rss == pytest.approx(wanted)


def test_what_is_no_probability_is_refused_and_nothing_is_none() -> None:
    assert decompose([]) is None and from_samples([], [], []) is None
    with pytest.raises(ValueError):
        decompose([Chances(1.5, 0.0, 0.0)])
    with pytest.raises(ValueError):
        from_samples(["a"], [1.0], [])


@given(st.lists(st.tuples(st.integers(0, 4), score, score), min_size=1, max_size=40))
def test_samples_give_shares_and_unknown_is_no_zero(
    rows: list[tuple[int, float | None, float | None]],
) -> None:
    found = from_samples([str(q) for q, _, _ in rows], [a for _, a, _ in rows], [b for _, _, b in rows])
    known = [(q, a >= 1, b >= 1) for q, a, b in rows if a is not None and b is not None]
    counted = cells([a for _, a, _ in rows], [b for _, _, b in rows])
    assert sum(counted) == len(known)
    if not known:
        assert found is None
        return
    assert found is not None
    names = {q for q, _, _ in known}
    shares = [[b for q, _, b in known if q == name] for name in names]
    assert found.acc2 == pytest.approx(sum(sum(s) / len(s) for s in shares) / len(shares))
    if len(set(map(len, shares))) == 1 and counted.confident + counted.unconfident:
        assert found.cl == pytest.approx(counted.confident / (counted.confident + counted.unconfident))


@st.composite
def label_tables(draw: st.DrawFn) -> tuple[list[float], list[list[float]], int]:
    size = draw(st.integers(2, 5))
    rows = []
    for _ in range(size + 1):
        weights = draw(st.lists(st.integers(0, 9), min_size=size, max_size=size))
        assume(sum(weights))
        rows.append([w / sum(weights) for w in weights])
    return rows[0], rows[1:], draw(st.integers(0, size - 1))


@given(label_tables())
def test_labels_give_the_second_answers_true_chance(
    table: tuple[list[float], list[list[float]], int],
) -> None:
    first, second, right = table
    found = from_labels(first, second, right)
    whole = sum(p * row[right] for p, row in zip(first, second, strict=True))
    assert found.first * found.kept + (1 - found.first) * found.mended == pytest.approx(whole, abs=1e-6)
    assert all(0 <= value <= 1 for value in found)


def test_malformed_label_tables_are_refused() -> None:
    for first, second in (
        ([0.5, 0.5], [[1.0, 0.0]]),
        ([0.5, 0.6], [[1.0, 0.0]] * 2),
        ([1.0, 0.0], [[2.0, -1.0]] * 2),
    ):
        with pytest.raises(ValueError):
            from_labels(first, second, 0)


TASK = Task.ask("2+2=?", "4", family="sums", metadata={"tolerance": 0})


@pytest.mark.parametrize("wording", Wording)
def test_a_question_is_put_again_after_its_answer(wording: Wording) -> None:
    again = asked_again(TASK, " 5\n", wording)
    assert [m.role for m in again.messages] == [Role.USER, Role.ASSISTANT, Role.USER]
    assert again.messages[1].content == "5" and again.question.startswith(TASK.question)
    assert ADVICE[wording] in again.question and (wording is Wording.NEUTRAL) == (
        again.question == TASK.question
    )
    assert (again.answer, again.metadata, again.family) == (TASK.answer, TASK.metadata, TASK.family)
    assert len(TASK.messages) == 1 and again.key != TASK.key


def test_dialogues_are_rendered_in_both_styles() -> None:
    again = asked_again(TASK, "5")
    form = PromptForm(instruction="Add.", shots=(Shot(question="1+1=?", response="2"),))
    assert form.text(again) == "Add.\n\nQ: 1+1=?\nA: 2\n\nQ: 2+2=?\nA: 5\n\nQ: 2+2=?\nA:"
    assert form.text(TASK) == "Add.\n\nQ: 1+1=?\nA: 2\n\nQ: 2+2=?\nA:"
    roles = [m.role for m in form.model_copy(update={"style": Style.CHAT}).messages(again)]
    assert roles == [Role.SYSTEM, *[Role.USER, Role.ASSISTANT] * 2, Role.USER]


def test_a_history_without_answers_stays_one_question() -> None:
    told = Message(role=Role.SYSTEM, content="Facts.")
    task = TASK.model_copy(update={"messages": (told, *TASK.messages)})
    assert PromptForm().text(task) == "Q: Facts.\n2+2=?\nA:"
    twice = asked_again(asked_again(task, "5"), "3")
    assert PromptForm().text(twice) == "Q: Facts.\n2+2=?\nA: 5\n\nQ: 2+2=?\nA: 3\n\nQ: 2+2=?\nA:"


class Said(NamedTuple):
    """A first and a second answer to a task, and whether they are right."""

    task: str
    first: str
    right: bool
    second: str
    mended: bool


def attempt(task: str, prompt: str, text: str) -> Attempt:
    turns = (Turn(author=Author.TEMPLATE, text=prompt), Turn(author=Author.POLICY, text=text))
    return Attempt(task=task, index=0, policy="p", turns=turns)


def pair(said: Said) -> Pair:
    return Pair(
        first=attempt(said.task, f"{said.task}:", said.first),
        second=attempt(f"{said.task} again", f"{said.task}:{said.first}|", said.second),
        right=said.right,
        mended=said.mended,
    )


SAID = (
    Said("a", "4", True, "4", True),
    Said("a", "5", False, "6", False),
    Said("b", "7", False, "9", True),
    Said("b", "8", False, "8", False),
    Said("c", "1", False, "2", False),
)


def learnt(train: Train, said: Sequence[Said] = SAID, **settings: float) -> list[tuple[str, str]]:
    batch = keep_and_mend([pair(s) for s in said], Config(train=train, **settings))
    return [(item.attempt.turns[0].text, item.attempt.response) for item in batch.items]


def test_items_keep_right_answers_and_mend_wrong_ones() -> None:
    assert learnt(Train.CLT) == [("a:4|", "4")]
    assert learnt(Train.CST) == [("a:5|", "4"), ("b:7|", "9"), ("b:8|", "9")], "nobody knows c"
    assert learnt(Train.SFT) == [("a:", "4")]


def test_rho_is_the_share_of_kept_answers() -> None:
    said = [Said(str(n), "4", n % 2 == 0, "4", True) for n in range(40)]
    for rho in (0.2, 0.4, 0.5, 0.8):
        kept = sum(
            prompt == f"{n}:4|" for n in range(0, 40, 2) for prompt, _ in learnt(Train.CCT, said, rho=rho)
        )
        assert kept / len(learnt(Train.CCT, said, rho=rho)) == pytest.approx(rho, abs=0.03)
    both = len(learnt(Train.CCT, said)) + len(learnt(Train.SFT, said))
    assert len(learnt(Train.SFT_CCT, said)) == both


def test_only_the_last_answer_carries_loss() -> None:
    item = keep_and_mend([pair(SAID[2])], Config(train=Train.CST)).items[0].attempt
    assert [turn.author in TEACHES for turn in item.turns] == [False, True]
    assert item.provenance is Provenance.SPLICED and item.task == "b again"


def test_unknown_verdicts_make_no_pairs() -> None:
    one = attempt("a", "a:", "4")
    marks: list[Verdict] = [Scored(value=1), Error(kind="timeout"), Scored(value=0)]
    after: list[Verdict] = [Scored(value=0), Scored(value=1), Error(kind="timeout")]
    found = pairs_of([one] * 3, marks, [one] * 3, after)
    assert [(p.right, p.mended) for p in found] == [(True, False)]


def test_another_questions_answer_is_shown_in_the_random_arm() -> None:
    first = [
        attempt(task, f"{task}:", text) for task, text in (("a", "1"), ("a", "2"), ("b", "3"), ("b", "4"))
    ]
    shown = seen(first, Config(samples=2, shown=Shown.RANDOM))
    assert [(a.task, a.response) for a in shown] == [("a", "3"), ("a", "4"), ("b", "1"), ("b", "2")]
    assert seen(first, Config(samples=2)) == first
    again = all_asked_again([TASK], [attempt(TASK.key, "q", " 5\n")])
    assert again == (asked_again(TASK, "5"),)
    assert answered(first[0], first[3]).turns == (first[0].turns[0], first[3].turns[1])


@pytest.mark.parametrize("level", offhand.LEVELS)
def test_offhand_answers_come_before_steps_that_bear_them_out(level: int) -> None:
    for seed in range(50):
        task = offhand.generate(random.Random(seed), level=level)
        head, *steps = (task.solution or "").split("\n")
        assert head == f"#### {task.answer}" and steps[-1].split("=")[1] == task.answer
        assert task.question == chain.generate(random.Random(seed), level=level).question


def test_a_small_run_reports_both_answers(tmp_path: Path) -> None:
    result = execute(small_spec("confidence_critique"), tmp_path, StopAfter(None))
    facts = {name: change.after.mean for name, change in result.test.facts.items()}
    acc1, cl, cs = (facts.get(name) or 0.0 for name in ("Acc1", "CL", "CS"))
    assert result.test.after.mean == pytest.approx(acc1 * cl + (1 - acc1) * cs)
    for number in result.rounds:
        assert {"Acc1 before", "Acc2 before", "Acc1 after", "Acc2 after"} <= set(number.measures)
