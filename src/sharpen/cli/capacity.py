"""The command that computes what a run of a large model needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from sharpen.cli.bench import number
from sharpen.cli.output import Json, print_json, print_pairs

if TYPE_CHECKING:
    from sharpen.bench.capacity import Card, Job, Plan, Rates, Shape


def capacity(
    model: str = "7B",
    /,
    *,
    card: str = "H100",
    job: str = "paper",
    cards: int | None = None,
    hours: float | None = None,
    rates: Annotated[list[Path] | None, Parameter(consume_multiple=True, negative="")] = None,
    json: Json = False,
) -> None:
    """Compute what a run of a large model needs: tokens, cards, hours, memory, interconnect.

    Parameters
    ----------
    model
        7B or 70B, with any field changed: `7B?parameters=8e9&layers=32`.
    card
        H100 or H200, with any field changed: `H100?network=25e9`.
    job
        paper or internet, with any field changed: `paper?tasks=128&response=8192`.
    cards
        How many; unset, the fewest that hold the model or do the job within `--hours`.
    hours
        Find the fewest cards that do the job in so many hours.
    rates
        Files of `sharpen bench sampler|learner|loop --json`; unset, shares that others report on an H100.
    """
    from sharpen.bench.capacity import plan
    from sharpen.bench.known import CARDS, JOBS, SHAPES, chosen

    shape, gpu, work = (
        chosen(SHAPES, model, "model"),
        chosen(CARDS, card, "card"),
        chosen(JOBS, job, "job"),
    )
    reached = _rates(rates or [])
    found = plan(shape, gpu, work, reached, _count(shape, gpu, work, reached, cards, hours))
    if json:
        print_json(_facts(shape, gpu, work, reached, found))
    else:
        print_pairs(lines(shape, gpu, work, reached, found))


def _rates(files: list[Path]) -> Rates:
    from pydantic import ValidationError

    from sharpen.bench.known import PUBLISHED, rates_of
    from sharpen.bench.rows import Row
    from sharpen.core.errors import BadInput
    from sharpen.core.records import decode

    rows: list[Row] = []
    for path in files:
        try:
            rows += decode(tuple[Row, ...], path.read_bytes())
        except (ValidationError, OSError) as error:
            raise BadInput(
                "rates", str(path), "holds no measurements", remedy="write it with `sharpen bench ... --json`"
            ) from error
    return rates_of(rows, "measured") if files else PUBLISHED


def _count(shape: Shape, card: Card, job: Job, rates: Rates, cards: int | None, hours: float | None) -> int:
    from sharpen.bench.capacity import cards_for, fewest, memory_of
    from sharpen.core.errors import BadInput

    if cards is not None:
        return cards
    if hours is None:
        return fewest(memory_of(shape, card, job))
    found = cards_for(shape, card, job, rates, hours)
    if found is None:
        raise BadInput("hours", hours, "is less than a million cards need", remedy="smaller or fewer rounds")
    return found


def _facts(shape: Shape, card: Card, job: Job, rates: Rates, plan: Plan) -> dict[str, object]:
    from sharpen.bench.capacity import memory_of, seconds_of, tokens_of

    return {
        "model": shape,
        "card": card,
        "job": job,
        "rates": rates,
        "tokens of a round": tokens_of(job)._asdict(),
        "memory": memory_of(shape, card, job)._asdict(),
        "seconds of a round": seconds_of(shape, card, job, rates)._asdict(),
        "plan": plan._asdict(),
    }


def lines(shape: Shape, card: Card, job: Job, rates: Rates, plan: Plan) -> list[tuple[str, str]]:
    """Everything that is needed, as names and texts."""
    from sharpen.bench.capacity import memory_of, seconds_of, tokens_of

    tokens, memory, work = (
        tokens_of(job),
        memory_of(shape, card, job),
        seconds_of(shape, card, job, rates),
    )
    return [
        ("job", f"{job.rounds:,} rounds of {job.tasks:,} tasks x {job.samples} samples, {shape.name}"),
        ("rates", f"{rates.name}: {rates.decode:.0%} of the decoding limit, {rates.train:.0%} of products"),
        ("sampled tokens", f"{tokens.sampled:,} a round, {giga(job.rounds * tokens.sampled)} billion in all"),
        ("trained tokens", f"{tokens.trained:,} a round, each worth {4 + job.extra} forward passes"),
        ("learner", f"{giga(memory.state)} GB of state: {memory.learner_cards} cards or more"),
        ("engine", f"{memory.rows} responses at a time on cards: {memory.engine_cards}"),
        ("sampling", f"{number(work.sampling / 3600)} card hours a round"),
        ("training", f"{number(work.training / 3600)} card hours a round"),
        ("judging", f"{number(work.judging / 3600)} core hours a round"),
        ("driver", f"{number(work.driver)} s a round, {giga(plan.stored_bytes)} GB kept in all"),
        ("interconnect", f"{giga(plan.shard_bandwidth)} GB/s a card hide a sharded learner"),
        ("new weights", f"{number(plan.sync_seconds)} s a round, between nodes"),
        ("a round", f"{number(plan.round_seconds / 60)} minutes on {plan.cards:,} x {card.name}"),
        ("the job", f"{number(plan.hours)} hours, {number(plan.card_hours)} card hours"),
    ]


def giga(value: float) -> str:
    """In billions."""
    return number(value / 1e9)
