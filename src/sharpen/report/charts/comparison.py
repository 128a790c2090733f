"""Charts of a comparison: scores, differences to the best control, score against each budget, pairs."""

from __future__ import annotations

from collections.abc import Callable

from sharpen.experiment.comparison import ArmResult, Comparison, Point, Role
from sharpen.report.charts.base import (
    Chart,
    Row,
    Table,
    count,
    kind_of,
    lines_of,
    mark,
    number,
    of_interval,
    share_form,
    spec,
    table,
    tips,
)
from sharpen.report.charts.decisions import ranges

AXES: dict[str, tuple[str, Callable[[Point], float]]] = {
    "sampled": ("sampled tokens", lambda point: point.usage.sampled_tokens),
    "trained": ("trained tokens", lambda point: point.usage.trained_tokens),
    "calls": ("model calls", lambda point: point.usage.model_calls),
    "judged": ("judge calls", lambda point: point.usage.judge_calls),
    "steps": ("environment steps", lambda point: point.usage.environment_steps),
    "seconds": ("seconds", lambda point: point.seconds),
}
"""What a score can be held against, by chart."""
_ALWAYS = ("sampled", "trained", "seconds")


def scores(found: Comparison) -> Chart:
    """Sealed-test score of every arm, the best rank first."""
    arms = {_named(arm.name, arm.role): arm.score for arm in _ranked(found)}
    return ranges("arm-scores", "Sealed-test scores with 95 % intervals", "score", arms)


def against_control(found: Comparison) -> Chart | None:
    """Every method minus the best control, at the level at which it was tested."""
    arms = {arm.name: arm.minus_control for arm in found.arms if arm.minus_control is not None}
    if not arms:
        return None
    title = f"Score minus that of the best control ({found.best_control})"
    return ranges("against-control", title, "difference", arms, zero=True)


def by_budget(found: Comparison) -> list[Chart]:
    """Validation score against what was used so far, one chart an axis on which something was used.

    Calls and steps are axes where they are limited, or where no tokens are drawn.
    """
    limited = {name.replace("_", " ") for name in found.budget.model_dump(exclude_none=True)}
    tokens = any(arm.usage.sampled_tokens for arm in found.arms)
    drawn = (
        _against(found, name, title, read)
        for name, (title, read) in AXES.items()
        if name in _ALWAYS or title in limited or not tokens
    )
    return [chart for chart in drawn if chart is not None]


def _against(found: Comparison, name: str, title: str, read: Callable[[Point], float]) -> Chart | None:
    rows: list[Row] = [
        {
            "arm": arm.name,
            "round": point.round,
            "used": round(read(point), 3),
            "seeds": point.seeds,
            **of_interval(point.val),
        }
        for arm in found.arms
        for point in arm.curve
        if point.val.mean is not None
    ]
    if not any(row["used"] for row in rows):
        return None
    order = [arm.name for arm in found.arms if arm.role is Role.METHOD]
    form = share_form([row["high"] for row in rows if isinstance(row["high"], float)])
    x = number("used", f"{title} of the method, mean over seeds", form="~s")
    dashes = lines_of("arm", order)
    y = number("mean", "validation score", form=form, scale={"zero": False})
    told = tips(arm="arm", round="round", said="score", used=title, seeds="seeds")
    bars = mark(
        "rule",
        {
            "x": x,
            "y": number("low", "validation score", form=form),
            "y2": {"field": "high"},
            "color": dashes["color"],
        },
        opacity=0.5,
    )
    line = mark(
        "line",
        {"x": x, "y": y, **dashes, "tooltip": told},
        point=True,
    )
    return Chart(
        name=f"score-by-{name}",
        title=f"Validation score by {title}",
        summary=f"{count(len(order), 'method')}; {_ends(rows, order)}.",
        spec=spec(rows, bars, line),
        table=table(
            rows, arm="arm", round="round", used=title, mean="score", low="low", high="high", seeds="seeds"
        ),
    )


def _ends(rows: list[Row], order: list[str]) -> str:
    last = {row["arm"]: row for row in rows}
    return "; ".join(f"{name} ends at {last[name]['said']}" for name in order if name in last)


def limits(found: Comparison) -> Chart | None:
    """How much of every limit each method used."""
    rows: list[Row] = [
        {"arm": arm.name, "meter": meter.replace("_", " "), "share": round(share, 4)}
        for arm in found.arms
        for meter, share in arm.share.items()
    ]
    if not rows:
        return None
    meters = list(dict.fromkeys(str(row["meter"]) for row in rows))
    encoding = {
        "y": kind_of("arm", None, sort=[arm.name for arm in found.arms]),
        "yOffset": {"field": "meter"},
        "x": number("share", "share of the limit", form=".0%"),
        "color": kind_of("meter", None, meters),
        "tooltip": tips(arm="arm", meter="meter", share="share of the limit"),
    }
    arms = len({row["arm"] for row in rows})
    return Chart(
        name="limits",
        title="Use of the budget",
        summary=f"Shares of {', '.join(meters)} that {count(arms, 'method')} used on average over seeds.",
        spec=spec(rows, mark("bar", encoding), height=max(80, 26 * len(rows))),
        table=table(rows, arm="arm", meter="meter", share="share of the limit"),
    )


def standings(found: Comparison) -> Table:
    """The league's table: rank, score, difference, what it used."""
    return Table(
        columns=(
            "rank",
            "arm",
            "score (95 % interval)",
            "minus best control",
            "p (corrected)",
            "standing",
            "sampled tokens",
            "trained tokens",
            "seconds",
            "tokens a test",
        ),
        rows=tuple(
            (
                arm.rank,
                _named(arm.name, arm.role),
                _unbroken(arm.score.percent()),
                _unbroken(arm.minus_control.percent(signed=True) if arm.minus_control else ""),
                _p(arm.p_value),
                arm.standing.value if arm.standing else "",
                arm.usage.sampled_tokens,
                arm.usage.trained_tokens,
                round(arm.seconds, 1),
                round(arm.test_tokens),
            )
            for arm in _ranked(found)
        ),
    )


def pairs(found: Comparison) -> Table:
    """All pairs of arms."""
    return Table(
        columns=("one", "other", "one - other", "p (corrected)", "clear"),
        rows=tuple(
            (
                pair.one,
                pair.other,
                pair.delta.percent(signed=True),
                _p(pair.p_value),
                "yes" if pair.clear else "no",
            )
            for pair in found.pairs
        ),
    )


def seeds(found: Comparison) -> Table:
    """Every run of every arm."""
    return Table(
        columns=("arm", "seed", "score", "sampled tokens", "trained tokens", "seconds", "stopped by", "run"),
        rows=tuple(
            (
                arm.name,
                run.seed,
                "unknown" if run.score is None else f"{run.score:.1%}",
                run.usage.sampled_tokens,
                run.usage.trained_tokens,
                round(run.seconds, 1),
                (run.stopped_by or "").replace("_", " "),
                run.folder,
            )
            for arm in found.arms
            for run in arm.runs
        ),
    )


def _ranked(found: Comparison) -> list[ArmResult]:
    return sorted(found.arms, key=lambda arm: (arm.rank, -(arm.score.mean or 0.0)))


def _unbroken(text: str) -> str:
    """In one line, however narrow the column."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if value >= 0.001 else "<0.001"


def _named(name: str, role: Role) -> str:
    return name if role is Role.METHOD else f"control: {name}"
