"""What a run needs: the formulae hold together, whatever model, card and job."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sharpen.bench.capacity import (
    MOST_CARDS,
    USABLE,
    Job,
    Rates,
    Shape,
    cards_for,
    decode_limit,
    fewest,
    memory_of,
    plan,
    prefill_limit,
    seconds_of,
    tokens_of,
    train_limit,
)
from sharpen.bench.known import CARDS, JOBS, PUBLISHED, SHAPES, chosen, rates_of
from sharpen.bench.rows import Row
from sharpen.cli import main
from sharpen.core.errors import BadInput

ROOT = Path(__file__).parent.parent
CARD = CARDS["H100"]

shapes = st.builds(
    Shape,
    name=st.just("any"),
    parameters=st.floats(1e8, 4e11),
    layers=st.integers(4, 120),
    width=st.sampled_from([1024, 4096, 8192]),
    key_heads=st.integers(1, 16),
    head=st.sampled_from([64, 128]),
)
jobs = st.builds(
    Job,
    name=st.just("any"),
    rounds=st.integers(1, 500),
    tasks=st.integers(1, 20_000),
    samples=st.integers(1, 64),
    prompt=st.integers(1, 4096),
    response=st.integers(1, 16_384),
    epochs=st.integers(0, 4),
    extra=st.integers(0, 3),
    micro_tokens=st.integers(256, 16_384),
)
rates = st.builds(
    Rates,
    name=st.just("any"),
    decode=st.floats(0.01, 1),
    train=st.floats(0.01, 1),
    driver_ms=st.floats(0, 5),
)


def fits(shape: Shape, job: Job) -> bool:
    try:
        memory_of(shape, CARD, job)
    except BadInput:
        return False
    return True


@given(jobs)
def test_tokens_are_counted_once_for_what_is_shared(job: Job) -> None:
    tokens = tokens_of(job)
    expanded = job.tasks * job.samples * (job.prompt + job.response) * job.epochs
    assert tokens.trained <= expanded
    assert (tokens.trained == expanded) == (job.samples == 1 or job.epochs == 0)
    doubled = tokens_of(job.model_copy(update={"tasks": 2 * job.tasks}))
    assert doubled == tuple(2 * count for count in tokens)


@given(shapes, jobs)
def test_what_is_held_fits_and_one_card_less_does_not(shape: Shape, job: Job) -> None:
    assume(fits(shape, job))
    held, room = memory_of(shape, CARD, job), USABLE * CARD.memory
    weights = 2 * shape.parameters
    assert held.state <= held.learner_cards * (room - held.activations)
    assert held.learner_cards == 1 or held.state > (held.learner_cards - 1) * (room - held.activations)
    longest = held.rows * (job.prompt + job.response) * shape.cache_bytes
    assert weights + longest <= held.engine_cards * room and 1 <= held.rows <= job.rows
    assert held.engine_cards & (held.engine_cards - 1) == 0


@given(shapes, st.integers(1, 512), st.floats(1, 30_000))
def test_decoding_is_bound_by_memory_and_by_products(shape: Shape, rows: int, context: float) -> None:
    one, two = (decode_limit(shape, CARD, cards=n, rows=rows, context=context) for n in (1, 2))
    assert two == pytest.approx(2 * one)
    assert one <= rows * CARD.bandwidth / (2 * shape.parameters)
    assert one <= CARD.flops / (2 * shape.parameters)
    assert one <= decode_limit(shape, CARD, cards=1, rows=rows + 1, context=context) * (1 + 1e-9)
    assert one >= decode_limit(shape, CARD, cards=1, rows=rows, context=context + 1) * (1 - 1e-9)


@given(shapes, jobs)
def test_training_costs_more_than_reading(shape: Shape, job: Job) -> None:
    assert train_limit(shape, CARD, job) < prefill_limit(shape, CARD, job.prompt)
    more = job.model_copy(update={"extra": job.extra + 1})
    assert train_limit(shape, CARD, more) < train_limit(shape, CARD, job)


@given(shapes, jobs, rates, st.floats(1.01, 3))
def test_better_rates_are_never_slower(shape: Shape, job: Job, reached: Rates, factor: float) -> None:
    assume(fits(shape, job))
    better = reached.model_copy(
        update={"decode": min(1, reached.decode * factor), "train": min(1, reached.train * factor)}
    )
    slow, fast = (seconds_of(shape, CARD, job, one) for one in (reached, better))
    assert all(one >= other for one, other in zip(slow, fast, strict=True))
    assert all(second >= 0 for second in slow)


@given(shapes, jobs, rates, st.integers(2, 50))
def test_more_engines_are_never_slower_and_cost_no_less(
    shape: Shape, job: Job, reached: Rates, count: int
) -> None:
    assume(fits(shape, job))
    held = memory_of(shape, CARD, job)
    start = max(2, -(-fewest(held) // held.engine_cards))
    few, many = (plan(shape, CARD, job, reached, n * held.engine_cards) for n in (start, start * count))
    assert many.hours <= few.hours and many.card_hours >= few.card_hours * (1 - 1e-9)
    assert few.stored_bytes == many.stored_bytes and few.shard_bandwidth == many.shard_bandwidth


@given(shapes, jobs, rates, st.floats(0.1, 5000))
def test_the_fewest_cards_are_enough_and_the_fewest(
    shape: Shape, job: Job, reached: Rates, hours: float
) -> None:
    assume(fits(shape, job))
    held = memory_of(shape, CARD, job)
    count = cards_for(shape, CARD, job, reached, hours)
    if count is None:
        most = max(MOST_CARDS // held.engine_cards, -(-fewest(held) // held.engine_cards))
        assert plan(shape, CARD, job, reached, most * held.engine_cards).hours > hours
        return
    assert plan(shape, CARD, job, reached, count).hours <= hours
    less = count - held.engine_cards
    if less >= fewest(held):
        assert plan(shape, CARD, job, reached, less).hours > hours


def test_too_few_cards_and_too_long_passes_are_refused() -> None:
    with pytest.raises(BadInput, match="do not hold 70B"):
        plan(SHAPES["70B"], CARD, JOBS["paper"], PUBLISHED, 8)
    with pytest.raises(BadInput, match="micro_tokens"):
        memory_of(SHAPES["70B"], CARD, JOBS["paper"].model_copy(update={"micro_tokens": 1 << 20}))
    with pytest.raises(BadInput, match="does not fit an engine"):
        memory_of(SHAPES["70B"], CARD, JOBS["paper"].model_copy(update={"response": 10**7}))


def test_known_things_can_be_changed_field_by_field() -> None:
    assert chosen(JOBS, "paper?tasks=7&response=9", "job").tasks == 7
    for written in ("paper?what=1", "paper?tasks=0", "other", "paper?tasks=many", "paper?judge_seconds=inf"):
        with pytest.raises(BadInput):
            chosen(JOBS, written, "job")
    for written in ("7B?parameters=inf", "7B?parameters=nan", "7B?parameters=-1"):
        with pytest.raises(BadInput):
            chosen(SHAPES, written, "model")


@pytest.mark.parametrize("hours", [0.0, -1.0, float("nan"), float("inf")])
def test_hours_that_are_none_are_refused(hours: float) -> None:
    with pytest.raises(BadInput, match="is no time"):
        cards_for(SHAPES["7B"], CARD, JOBS["paper"], PUBLISHED, hours)


@pytest.mark.parametrize("text", [None, "words", '[{"case": 3}]', "[]"])
def test_files_without_rates_are_refused_in_one_line(
    text: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rates.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SystemExit) as ended:
        main(["capacity", "7B", "--rates", str(file)])
    assert ended.value.code == 2 and capsys.readouterr().err.count("\n") == 1


def test_the_command_says_it_as_data(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["capacity", "70B", "--hours", "100", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert ended.value.code == 0 and said["plan"]["hours"] <= 100 and said["plan"]["cards"] >= 28


def test_rates_are_read_off_rows_with_a_share() -> None:
    rows = [
        Row(case="m: 8 prompts", metric="tokens/s", ours=1.0, share_of_limit=0.2),
        Row(case="m: 1 prompt", metric="tokens/s", ours=1.0, share_of_limit=0.4),
        Row(case="m: SFT, ragged", metric="trained tokens/s", ours=1.0, share_of_limit=0.3),
        Row(case="m: GRPO", metric="trained tokens/s", ours=1.0, share_of_limit=0.9),
        Row(case="m: star", metric="orchestration, ms a sample", ours=0.5),
    ]
    found = rates_of(rows, "mine")
    assert (found.decode, found.train, found.driver_ms) == (pytest.approx(0.3), 0.3, 0.5)
    with pytest.raises(BadInput, match="in none of the files"):
        rates_of(rows[:2], "mine")


def test_the_page_is_what_the_rates_say(tmp_path: Path) -> None:
    page = tmp_path / "capacity.md"
    subprocess.run([sys.executable, str(ROOT / "tools" / "capacity.py"), "--out", str(page)], check=True)
    assert page.read_text() == (ROOT / "docs" / "capacity.md").read_text(), "run tools/capacity.py"
