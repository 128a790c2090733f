"""Charts of what goes by rounds: score, exploration, the method's own numbers, what learners report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from sharpen.core.stats import Interval
from sharpen.experiment.result import Round
from sharpen.monitors.exploration import Exploration
from sharpen.report.charts.base import (
    DENSE,
    Chart,
    Row,
    Table,
    by_round,
    count,
    lines_of,
    mark,
    number,
    of_interval,
    share_form,
    slug,
    spec,
    table,
    tips,
    trend,
    whole,
)

MOST_MEASURES = 24
"""Own numbers of a method that get a chart; the table has all."""
MOST_STEPS = 1_500
"""Optimizer steps of one chart."""

VARIETY: dict[str, tuple[Callable[[Exploration], float | None], str]] = {
    "distinct answers a task": (lambda seen: seen.distinct_answers, ""),
    "distinct responses (share)": (lambda seen: seen.distinct_responses, ".0%"),
    "entropy (nats a token)": (lambda seen: seen.entropy, ""),
    "length (tokens)": (lambda seen: seen.length, ""),
    "cut by the token limit": (lambda seen: seen.cut, ".0%"),
    "without an answer": (lambda seen: seen.no_answer if seen.distinct_answers else None, ".0%"),
}


def score_curve(base: Interval | None, rounds: Sequence[Round]) -> Chart | None:
    """Validation score of each round's last policy; round 0 is the start. None for fewer than two scores."""
    scores = [(0, base), *((item.round, item.val) for item in rounds)]
    rows: list[Row] = [
        {"round": at, **of_interval(value)} for at, value in scores if value and value.mean is not None
    ]
    if len(rows) < 2:
        return None
    form = share_form([value.high for _, value in scores if value])
    y = number("mean", "validation score", form=form, scale={"zero": False})
    told = tips(round="round", said="score (95 % interval)", n="tasks")
    first, last = rows[0], rows[-1]
    return Chart(
        name="score-by-round",
        title="Validation score by round",
        summary=f"Validation score {first['said']} in round {first['round']}, "
        f"{last['said']} in round {last['round']}, with 95 % intervals.",
        spec=spec(
            rows,
            mark(
                "area",
                {"x": by_round(), "y": number("low", "validation score", form=form), "y2": {"field": "high"}},
                opacity=0.18,
            ),
            mark("line", {"x": by_round(), "y": y, "tooltip": told}, point=len(rows) < DENSE),
        ),
        table=table(rows, round="round", mean="score", low="low", high="high", n="tasks"),
    )


def pass_rates(rounds: Sequence[Round]) -> Chart | None:
    """pass@1 and pass@k of the attempts at training tasks: exploitation, exploration, and their gap."""
    seen = [(item.round, item.exploration) for item in rounds if item.exploration is not None]
    many = any(found.k > 1 for _, found in seen)
    rows: list[Row] = [
        {"round": at, "kind": kind, "rate": rate, "k": found.k}
        for at, found in seen
        for kind, rate in (("pass@1", found.pass_at_1), ("pass@k", found.pass_at_k))
        if rate is not None and (many or kind == "pass@1")
    ]
    if len({row["round"] for row in rows}) < 2:
        return None
    gaps: list[Row] = [
        {"round": at, "one": s.pass_at_1, "many": s.pass_at_k, "k": s.k, "gap": s.pass_at_k - s.pass_at_1}
        for at, s in seen
        if many and s.pass_at_1 is not None and s.pass_at_k is not None
    ]
    band = mark(
        "area",
        {"x": by_round(), "y": number("one", "pass rate", form=".0%"), "y2": {"field": "many"}},
        opacity=0.15,
    )
    order = ["pass@1", "pass@k"] if many else ["pass@1"]
    line = mark(
        "line",
        {
            "x": by_round(),
            "y": number("rate", "pass rate", form=".0%"),
            **lines_of("kind", order),
            "tooltip": tips(round="round", kind="kind", rate="rate", k="k"),
        },
        point=len(seen) < DENSE,
    )
    last = gaps[-1]["gap"] if gaps else None
    gap = f"; the gap is {last:.1%} in the last round" if isinstance(last, float) else ""
    return Chart(
        name="pass-rates",
        title=f"Exploitation and exploration: {'pass@1 and pass@k' if many else 'pass@1'} on training tasks",
        summary=f"Chance that one attempt{', and that one of k attempts,' if many else ''} is right, "
        f"over {len(seen)} rounds{gap}.",
        spec=spec(rows, {"data": {"values": gaps}, **band}, line),
        table=table(gaps, round="round", one="pass@1", many="pass@k", k="k", gap="gap")
        if gaps
        else table(rows, round="round", rate="pass@1"),
    )


def explored(rounds: Sequence[Round]) -> Table:
    """All that was measured of the attempts of each round, without what is never known."""
    names = [name for name in Exploration.model_fields if _ever(rounds, name)]
    rows = [
        (item.round, *(getattr(item.exploration, name) for name in names))
        for item in rounds
        if item.exploration is not None
    ]
    titles = (name.replace("_at_", "@").replace("_", " ") for name in names)
    return Table(columns=("round", *titles), rows=tuple(rows))


def _ever(rounds: Sequence[Round], name: str) -> bool:
    return any(getattr(item.exploration, name, None) is not None for item in rounds)


def variety(rounds: Sequence[Round]) -> list[Chart]:
    """How various the attempts are: one small chart a measure that says something.

    Left out is what is unknown or always 0, the variety of groups where each has one attempt, and the share
    without an answer where attempts have none that could be read.
    """
    grouped = any(item.exploration and item.exploration.k > 1 for item in rounds)
    found = []
    for title, (read, form) in VARIETY.items():
        values = [(item.round, read(item.exploration) if item.exploration else None) for item in rounds]
        alone = title.startswith("distinct") and not grouped
        if any(value for _, value in values) and _known(values) > 1 and not alone:
            found.append(trend(slug("variety", title), title, values, form=form))
    return found


def measures(rounds: Sequence[Round]) -> list[Chart]:
    """The method's own numbers that have more than one value, one small chart each."""
    counted = Counter(name for item in rounds for name in item.measures)
    names = [name for name, count in counted.items() if count > 1][:MOST_MEASURES]
    return [
        trend(
            slug("measure", name), name.replace("_", " "), [(r.round, r.measures.get(name)) for r in rounds]
        )
        for name in names
    ]


def losses(rounds: Sequence[Round]) -> Chart | None:
    """Loss over the optimizer steps of all rounds, thinned out where there are very many.

    None where learners report fewer than two.
    """
    all_of = [(item.round, loss) for item in rounds for loss in _numbers(item.learner.get("losses"))]
    stride = -(-len(all_of) // MOST_STEPS)
    rows: list[Row] = [
        {"step": step, "loss": loss, "round": at}
        for step, (at, loss) in enumerate(all_of, 1)
        if step % stride == 0 or stride < 2
    ]
    if len(rows) < 2:
        return None
    encoding = {
        "x": whole("step", "optimizer step"),
        "y": number("loss", "loss", scale={"zero": False}),
        "color": {"field": "round", "type": "ordinal", "title": "round"},
        "tooltip": tips(round="round", step="step", loss="loss"),
    }
    trained = len({row["round"] for row in rows})
    return Chart(
        name="losses",
        title="Training loss by optimizer step",
        summary=f"{count(len(all_of), 'optimizer step')} in {count(trained, 'round')}; "
        f"loss {rows[0]['loss']:.4g} at first, {rows[-1]['loss']:.4g} at last.",
        spec=spec(rows, mark("line", encoding, point={"size": 12})),
        table=table(rows, round="round", step="step", loss="loss"),
    )


def _numbers(value: object) -> list[float]:
    items = value if isinstance(value, list | tuple) else []
    return [float(item) for item in items if isinstance(item, int | float)]


def _known(values: Sequence[tuple[int, float | None]]) -> int:
    return sum(value is not None for _, value in values)
