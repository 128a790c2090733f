"""The benchmark's own arithmetic: turns, ratios, limits, frozen batches and poisoned answers."""

from __future__ import annotations

import itertools

import pytest

from helpers_models import make_model
from sharpen.bench.answers import EVERY, Poison, judge, mixture, numbers
from sharpen.bench.frozen import GROUP, frozen
from sharpen.bench.limits import Limits
from sharpen.bench.loop import sample_cost
from sharpen.bench.rows import Peer, alternate, compared
from sharpen.bench.sampling import Case, Generate, drawn, prompts_for
from sharpen.cli.bench import lines
from sharpen.core.budget import Usage
from sharpen.core.journal import Entry, Row, Wall
from sharpen.core.policy import Decoding
from sharpen.core.verdict import Scored
from sharpen.models.hf import HFModel
from sharpen.verifiers.numeric import verify


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    return make_model(tmp_path_factory.mktemp("models"))


def test_contenders_take_turns_forwards_and_backwards() -> None:
    order: list[int] = []
    figures = alternate([lambda n=n: order.append(n) or float(len(order)) for n in range(3)], 3)
    assert order == [0, 1, 2, 2, 1, 0, 0, 1, 2]
    assert figures[0] == [1.0, 6.0, 7.0]


def test_a_row_compares_medians_and_tells_the_range() -> None:
    ours, theirs = itertools.cycle([4.0, 9.0, 6.0]), itertools.cycle([2.0, 3.0, 1.0])
    (row,) = compared("c", "x/s", lambda: next(ours), [Peer("p", lambda: next(theirs))], repeats=3, limit=12)
    assert (row.ours, row.peer, row.ratio, row.share_of_limit) == (6.0, 2.0, 3.0, 0.5)
    assert (row.ours_range, row.peer_range) == ((4.0, 9.0), (1.0, 3.0))
    head, body = lines([row])
    assert head.index("metric") == body.index("x/s") and "±42%" in body


def test_more_rows_are_faster_until_the_products_limit_them(model: HFModel) -> None:
    slow, fast = Limits(1e9, 1e15), Limits(1e15, 1e9)
    assert slow.decode(model, 8, 10) > 4 * slow.decode(model, 1, 10)
    assert fast.decode(model, 8, 10) == fast.decode(model, 1, 10) < fast.flops / (2 * model.parameters)
    assert fast.train(model) == fast.flops / (6 * model.parameters)
    assert slow.best(fast) == Limits(1e15, 1e15)


def test_peers_get_the_lengths_that_were_drawn(model: HFModel) -> None:
    case = Case("c", prompts_for(model, 3), 2, Decoding(temperature=2.0, max_tokens=12, stop=("e",)))
    rows = drawn(model, case)
    peer = Generate(model, case, [len(row) for row in rows])
    assert peer.run() == sum(map(len, rows)) and len(rows) == 6
    even = Case("c", case.texts[:1], 4, Decoding(temperature=3.0, max_tokens=9), even=True)
    assert [len(row) for row in drawn(model, even)] == [9] * 4


@pytest.mark.parametrize("kind", ["SFT", "DPO", "GRPO"])
def test_frozen_batches_are_the_same_each_time(model: HFModel, kind: str) -> None:
    one, other = frozen(model, kind, size=1), frozen(model, kind, size=1)
    assert one == other and one.tokens == sum(example.length for example in one.examples)
    if kind == "GRPO":
        assert len({example.prompt_ids for example in one.examples}) == 1 and len(one.examples) == GROUP
        assert all(len(e.prompt_ids) >= len(e.response_ids) for e in one.examples)


def test_answers_are_half_right_and_one_in_a_hundred_is_poison() -> None:
    answers = mixture(400, poisoned=True)
    poison = [answer.poison for answer in answers if answer.poison]
    assert len(poison) == 400 // EVERY and set(poison) == set(Poison)
    whole = [answer for answer in mixture(96, poisoned=False) if answer.wanted.isdigit()]
    right = [judge(answer) for answer in whole]
    assert set(right) == {0.0, 1.0} and 0.4 < sum(right) / len(right) < 0.7
    scored = [verify(text, task) for task, text in numbers(64)]
    assert [one.value for one in scored if isinstance(one, Scored)].count(1.0) == 32 == len(scored) // 2


def test_a_samples_cost_is_what_passed_without_the_model() -> None:
    def row(verb: str, elapsed: float, calls: int) -> Row:
        entry = Entry(key=verb, verb=verb, inputs="", blob="", usage=Usage(model_calls=calls))
        return Row(entry, Wall(session="", elapsed=elapsed, seconds=0.5, model_seconds=0.4), "")

    assert sample_cost(row("judge", 1.0, 0), row("attempt", 1.5, 10)) == pytest.approx(10.0)
    assert sample_cost(row("judge", 1.0, 0), row("judge", 1.5, 0)) is None
