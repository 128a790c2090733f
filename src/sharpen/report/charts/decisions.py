"""Charts of what was decided and what changed: the test, gates, flows between right and wrong."""

from __future__ import annotations

from collections.abc import Sequence

from sharpen.core.gate import Decision
from sharpen.core.records import Record
from sharpen.core.stats import Interval
from sharpen.experiment.result import Result, Round
from sharpen.monitors.flows import Flows
from sharpen.report.charts.base import (
    Chart,
    Row,
    by_round,
    count,
    kind_of,
    mark,
    number,
    of_interval,
    share_form,
    spec,
    table,
    tips,
)

GAINED, LOST = "wrong to right", "right to wrong"


class Move(Record):
    """Which validation tasks changed their state between the policies of two rounds."""

    round: int
    flows: Flows


def test_scores(result: Result) -> Chart:
    """Sealed-test scores of before, after and both controls, with intervals."""
    more = result.controls.more_samples
    arms: dict[str, Interval] = {
        "before": result.test.before,
        "after": result.test.after,
        "control: no update": result.controls.no_update,
        f"control: more samples ({more.samples})": more,
    }
    return ranges("test-scores", "Sealed-test scores with 95 % intervals", "score", arms)


def ranges(name: str, title: str, axis: str, arms: dict[str, Interval], *, zero: bool = False) -> Chart:
    """Means with intervals below each other; with `zero` a line stands at no difference."""
    rows: list[Row] = [{"arm": arm, **of_interval(value, signed=zero)} for arm, value in arms.items()]
    form = share_form([value.high for value in arms.values()])
    y = kind_of("arm", None, axis={"labelLimit": 260}, sort=list(arms))
    told = tips(arm="", said=f"{axis} (95 % interval)", n="n")
    x = number("mean", axis, form=form, scale={"zero": zero})
    bars = mark("rule", {"y": y, "x": number("low", axis, form=form), "x2": {"field": "high"}}, strokeWidth=2)
    dots = mark("point", {"y": y, "x": x, "tooltip": told}, filled=True, size=90)
    at_zero = [mark("rule", {"x": {"datum": 0}}, strokeDash=[4, 4])] if zero else []
    said = "; ".join(f"{row['arm']} {row['said']}" for row in rows)
    return Chart(
        name=name,
        title=title,
        summary=f"{said}.",
        spec=spec(rows, *at_zero, bars, dots, height=max(80, 34 * len(rows))),
        table=table(rows, arm="", mean=axis, low="low", high="high", n="n"),
    )


def gates(rounds: Sequence[Round]) -> Chart | None:
    """What each gate measured: candidate minus incumbent on validation tasks, and what it decided."""
    rows: list[Row] = [
        {
            "round": item.round,
            **of_interval(item.gate.test.delta, signed=True),
            "decision": item.gate.decision.value,
            "adopted": "adopted" if item.gate.adopted else "not adopted",
            "p": item.gate.test.p_two_sided,
            "wins": item.gate.test.wins,
            "losses": item.gate.test.losses,
        }
        for item in rounds
        if item.gate is not None
    ]
    if not rows:
        return None
    order = [decision.value for decision in Decision]
    form = share_form([row["high"] for row in rows if isinstance(row["high"], float)])
    told = tips(round="round", said="candidate - incumbent", decision="decision", adopted="outcome", p="p")
    x, colour = by_round(), kind_of("decision", "decision", order)
    bars = mark(
        "rule",
        {"x": x, "y": number("low", "candidate - incumbent", form=form), "y2": {"field": "high"}},
        strokeWidth=2,
    )
    dots = mark(
        "point",
        {
            "x": x,
            "y": number("mean", "candidate - incumbent", form=form),
            "color": colour,
            "shape": kind_of("decision", "decision", order),
            "tooltip": told,
        },
        filled=True,
        size=110,
    )
    adopted = sum(row["adopted"] == "adopted" for row in rows)
    return Chart(
        name="gates",
        title="Gate decisions: candidate minus incumbent on validation tasks",
        summary=f"{count(len(rows), 'gate')}, {count(adopted, 'candidate')} adopted; "
        f"the last: {rows[-1]['decision']}, "
        f"{rows[-1]['said']}.",
        spec=spec(rows, mark("rule", {"y": {"datum": 0}}, strokeDash=[4, 4]), bars, dots),
        table=table(
            rows,
            round="round",
            decision="decision",
            adopted="outcome",
            mean="difference",
            low="low",
            high="high",
            p="p (two-sided)",
            wins="tasks won",
            losses="tasks lost",
        ),
    )


def flows_between(moves: Sequence[Move]) -> Chart | None:
    """Validation tasks that went from wrong to right (up) and back (down), round by round."""
    rows: list[Row] = [
        {"round": move.round, "kind": kind, "tasks": count, "signed": sign * count}
        for move in moves
        for kind, count, sign in (
            (GAINED, move.flows.wrong_to_right, 1),
            (LOST, move.flows.right_to_wrong, -1),
        )
    ]
    if not any(row["tasks"] for row in rows):
        return None
    encoding = {
        "x": {
            "field": "round",
            "type": "ordinal",
            "title": "round",
            "axis": {"labelAngle": 0, "labelOverlap": True},
            "scale": {"paddingInner": 0.3, "paddingOuter": 2},
        },
        "y": number("signed", "validation tasks", axis={"format": "d", "tickMinStep": 1}),
        "color": kind_of("kind", None, [GAINED, LOST]),
        "tooltip": tips(round="round", kind="kind", tasks="tasks"),
    }
    gained = sum(move.flows.wrong_to_right for move in moves)
    lost = sum(move.flows.right_to_wrong for move in moves)
    full: list[Row] = [{"round": move.round, **move.flows.model_dump()} for move in moves]
    return Chart(
        name="flows",
        title="Flows between right and wrong on validation tasks",
        summary=f"{count(gained, 'task')} from wrong to right, {lost} from right to wrong, over all rounds.",
        spec=spec(rows, mark("bar", encoding)),
        table=table(
            full,
            round="round",
            wrong_to_right=GAINED,
            right_to_wrong=LOST,
            stayed_right="stayed right",
            stayed_wrong="stayed wrong",
            unknown="unknown",
        ),
    )
