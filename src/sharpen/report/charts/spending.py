"""Charts of what a run costs: tokens by purpose and by round, seconds by verb and how many in the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sharpen.core.budget import Budget, Purpose, Timing, Usage
from sharpen.core.records import Record
from sharpen.experiment.result import Round
from sharpen.report.charts.base import (
    DENSE,
    Chart,
    Row,
    by_round,
    kind_of,
    lines_of,
    mark,
    number,
    spec,
    table,
    tips,
)

PURPOSES = [purpose.value for purpose in Purpose]


class Worked(Record):
    """Time that the steps of a verb took, on one account."""

    verb: str
    purpose: Purpose
    steps: int
    timing: Timing


def usage(used: Mapping[Purpose, Usage], limits: Budget) -> Chart | None:
    """Shares of every meter by account; the table has the numbers and the limits."""
    allowed = limits.model_dump()
    rows: list[Row] = [
        {
            "meter": meter.replace("_", " "),
            "purpose": purpose.value,
            "amount": amount,
            "limit": allowed[meter],
        }
        for purpose, spent in used.items()
        for meter, amount in spent.model_dump().items()
        if amount
    ]
    if not rows:
        return None
    encoding = {
        "y": kind_of("meter", None, axis={"labelLimit": 200}),
        "x": number("amount", "share of the run's use", form=".0%", stack="normalize"),
        "color": kind_of("purpose", None, PURPOSES),
        "tooltip": tips(meter="meter", purpose="account", amount="amount"),
    }
    meters = len({row["meter"] for row in rows})
    return Chart(
        name="usage",
        title="Use of resources by account",
        summary=f"The method used {_amounts(used.get(Purpose.METHOD, Usage()))}; preparation, evaluation and "
        "controls are metered apart.",
        spec=spec(rows, mark("bar", encoding), height=max(60, 34 * meters)),
        table=table(rows, meter="meter", purpose="account", amount="amount", limit="limit of the method"),
    )


def usage_by_round(rounds: Sequence[Round]) -> Chart | None:
    """Tokens that the method had used by the end of each round; None for fewer than two rounds."""
    rows: list[Row] = [
        {"round": item.round, "kind": kind, "tokens": tokens}
        for item in rounds
        for kind, tokens in (
            ("sampled", item.usage.sampled_tokens),
            ("trained", item.usage.trained_tokens),
        )
    ]
    if len(rounds) < 2 or not any(row["tokens"] for row in rows):
        return None
    encoding = {
        "x": by_round(),
        "y": number("tokens", "tokens so far", form="~s"),
        **lines_of("kind", ["sampled", "trained"]),
        "tooltip": tips(round="round", kind="kind", tokens="tokens"),
    }
    last = rounds[-1].usage
    return Chart(
        name="usage-by-round",
        title="Tokens of the method by round",
        summary=f"{last.sampled_tokens:,} sampled and {last.trained_tokens:,} trained tokens "
        "by the last round.",
        spec=spec(rows, mark("line", encoding, point=len(rounds) < DENSE)),
        table=table(rows, round="round", kind="kind", tokens="tokens so far"),
    )


def time_spent(worked: Sequence[Worked]) -> Chart | None:
    """Seconds by verb: in the model and around it."""
    total: dict[str, Timing] = {}
    for item in worked:
        total[item.verb] = total.get(item.verb, Timing()) + item.timing
    rows: list[Row] = [
        {"verb": verb, "kind": kind, "seconds": round(seconds, 3)}
        for verb, timing in sorted(total.items(), key=lambda pair: -pair[1].seconds)
        for kind, seconds in (
            ("in the model", timing.model_seconds),
            ("around it", max(0.0, timing.seconds - timing.model_seconds)),
        )
        if timing.seconds >= 0.001
    ]
    if not rows:
        return None
    verbs = list(dict.fromkeys(str(row["verb"]) for row in rows))
    encoding = {
        "y": kind_of("verb", None, sort=verbs),
        "x": number("seconds", "seconds"),
        "color": kind_of("kind", None, ["in the model", "around it"]),
        "tooltip": tips(verb="verb", kind="kind", seconds="seconds"),
    }
    inside = sum(timing.model_seconds for timing in total.values())
    seconds = sum(timing.seconds for timing in total.values())
    return Chart(
        name="time",
        title="Time by verb",
        summary=f"{seconds:.1f} s of work on steps, {inside / max(seconds, 1e-9):.0%} of it in the model; "
        f"most on {verbs[0]}.",
        spec=spec(rows, mark("bar", encoding), height=max(60, 28 * len(verbs))),
        table=table(
            [
                {
                    "verb": item.verb,
                    "purpose": item.purpose.value,
                    "steps": item.steps,
                    "seconds": round(item.timing.seconds, 3),
                    "model": round(item.timing.model_seconds, 3),
                }
                for item in worked
            ],
            verb="verb",
            purpose="account",
            steps="steps",
            seconds="seconds",
            model="in the model",
        ),
    )


def _amounts(spent: Usage) -> str:
    known = [
        f"{amount:,} {meter.replace('_', ' ')}" for meter, amount in spent.model_dump().items() if amount
    ]
    return ", ".join(known) or "nothing that is metered"
