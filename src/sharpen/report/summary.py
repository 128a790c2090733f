"""Prints results: the table with both controls, the curve, what may be concluded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sharpen.core.budget import Purpose
from sharpen.core.stats import Interval
from sharpen.core.verdict import Error, Rejected, Scored
from sharpen.experiment.result import Result, Round
from sharpen.experiment.show import ShownAttempt
from sharpen.report.terminal import print_curve
from sharpen.report.text import visible

_RESPONSE_LIMIT = 600
MOST_COLUMNS = 8
"""Of numbers beside each other, for a terminal of 80 columns."""


def print_result(console: Console, result: Result, folder: Path) -> None:
    """Table, curve, costs, conclusion and the next command."""
    console.print()
    console.print(_scores(result))
    print_rounds(console, result.recipe, result.base_val, result.rounds)
    if result.test.facts:
        console.print(_changes(result))
    for name, text in _facts(result):
        console.print(visible(f"{name:<10} {text}"), highlight=False, markup=False)
    console.print(f"\n[bold]{escape(result.conclusion)}[/bold]", highlight=False)
    if result.weights:
        console.print(f"next       sharpen export {folder} improved-model", highlight=False, markup=False)
    console.print(f"report     sharpen report {folder}", highlight=False, markup=False)


def print_rounds(console: Console, recipe: str, base: Interval | None, rounds: Sequence[Round]) -> None:
    """Curve and tables of the rounds, if there are any."""
    if not rounds:
        return
    scores = [value for value in (base, *(item.val for item in rounds)) if value]
    print_curve("val score by round", range(len(scores)), {recipe: scores}, console=console)
    console.print(_rounds(rounds))
    if any(item.measures for item in rounds):
        console.print(_measures(rounds))


def print_side_by_side(console: Console, results: Mapping[Path, Result]) -> None:
    """Several runs on one task: one table, one curve, every conclusion, the next command."""
    first = next(iter(results.values()))
    table = Table(title=escape(f"{first.spec.task}, {first.spec.model}, sealed test"))
    for heading in ("", *(result.recipe for result in results.values())):
        table.add_column(heading, justify="right" if heading else "left")
    for name, cell in _ROWS.items():
        table.add_row(name, *(cell(result) for result in results.values()))
    console.print()
    console.print(table)
    curves = {result.recipe: _val_scores(result) for result in results.values()}
    longest = max(map(len, curves.values()))
    if longest == min(map(len, curves.values())):
        print_curve("val score by round", range(longest), curves, console=console)
    for result in results.values():
        console.print(f"[bold]{result.recipe}[/bold]: {escape(result.conclusion)}", highlight=False)
    for folder, result in results.items():
        times = f"{result.wall_seconds:.0f} s, {result.model_time_share:.0%} of the loop's time in the model"
        console.print(f"{result.recipe}: {times}, {folder}/result.json", highlight=False, markup=False)
    console.print(f"next: sharpen show {next(iter(results))}", highlight=False, markup=False)


_ROWS: dict[str, Callable[[Result], str]] = {
    "before": lambda result: result.test.before.percent(),
    "after": lambda result: result.test.after.percent(),
    "after - before": lambda result: result.test.delta.percent(signed=True),
    "control: no update": lambda result: result.controls.no_update.percent(),
    "control: more samples": lambda result: result.controls.more_samples.percent(),
    "  samples a task": lambda result: str(result.controls.more_samples.samples),
    "after - more samples": lambda result: result.controls.more_samples.after_minus.percent(signed=True),
}


def _val_scores(result: Result) -> list[Interval]:
    return [result.base_val, *(item.val for item in result.rounds if item.val)]


def _scores(result: Result) -> Table:
    table = Table(title=escape(f"{result.recipe} on {result.spec.task}, {result.spec.model}, sealed test"))
    for heading in ("", "score (95 % interval)", "after - this"):
        table.add_column(heading, justify="left" if not heading else "right")
    more = result.controls.more_samples
    table.add_row("before", result.test.before.percent(), result.test.delta.percent(signed=True))
    table.add_row("after", result.test.after.percent(), "", style="bold")
    none = result.controls.no_update
    table.add_row("control: no update", none.percent(), none.after_minus.percent(signed=True))
    table.add_row(
        f"control: {more.note.partition(' samples')[0]}",
        more.percent(),
        more.after_minus.percent(signed=True),
    )
    return table


def _rounds(rounds: Sequence[Round]) -> Table:
    table = Table(title="rounds (attempts at training tasks)")
    for heading in ("round", "pass@1", "pass@k", "answers", "entropy", "length", "val", "gate"):
        table.add_column(heading, justify="right")
    for item in rounds:
        gate = f"{item.gate.decision}, {'' if item.gate.adopted else 'not '}adopted" if item.gate else ""
        val = _number(item.val.mean if item.val else None, ".1%")
        table.add_row(str(item.round), *_explored(item), val, gate)
    return table


def _measures(rounds: Sequence[Round]) -> Table:
    names = list(dict.fromkeys(name for item in rounds for name in item.measures))
    if len(names) > MOST_COLUMNS:
        return _turned(rounds, names)
    table = Table(title="the method's own numbers")
    for heading in ("round", *map(_spaced, names)):
        table.add_column(heading, justify="right")
    for item in rounds:
        table.add_row(str(item.round), *(_measure(item, name) for name in names))
    return table


def _turned(rounds: Sequence[Round], names: Sequence[str]) -> Table:
    """A row a number, a column a round: for more numbers than go side by side."""
    last = len(rounds) - 1
    columns = min(len(rounds), MOST_COLUMNS)
    shown = [rounds[place * last // max(columns - 1, 1)] for place in range(columns)]
    of = f", {columns} of {len(rounds)} rounds" if columns < len(rounds) else ""
    table = Table("round", title=f"the method's own numbers{of}")
    for item in shown:
        table.add_column(str(item.round), justify="right")
    for name in names:
        table.add_row(_spaced(name), *(_measure(item, name) for item in shown))
    return table


def _measure(item: Round, name: str) -> str:
    return f"{item.measures[name]:.4g}" if name in item.measures else ""


def _spaced(name: str) -> str:
    return escape(name.replace("_", " "))


def _changes(result: Result) -> Table:
    table = Table(title="what the environment reports on the sealed test")
    for heading in ("", "before", "n", "after", "n"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, change in result.test.facts.items():
        cells = (str(change.before), str(change.before.n), str(change.after), str(change.after.n))
        table.add_row(_spaced(name), *cells)
    return table


def _explored(item: Round) -> tuple[str, ...]:
    seen = item.exploration
    if seen is None:
        return ("", "", "", "", "")
    return (
        _number(seen.pass_at_1, ".1%"),
        _number(seen.pass_at_k, ".1%"),
        _number(seen.distinct_answers, ".1f"),
        _number(seen.entropy, ".2f"),
        _number(seen.length, ".0f"),
    )


def _number(value: float | None, form: str) -> str:
    return "unknown" if value is None else f"{value:{form}}"


def _facts(result: Result) -> list[tuple[str, str]]:
    used, flow = result.budget.used[Purpose.METHOD], result.test.flows
    loop = result.wall_seconds - result.start_seconds
    times = f"{loop:.0f} s, {result.model_time_share:.0%} of it in the model"
    facts = [
        ("flows", f"{flow.wrong_to_right} wrong to right, {flow.right_to_wrong} right to wrong on test"),
        (
            "budget",
            f"{used.sampled_tokens:,} sampled and {used.trained_tokens:,} trained tokens by the method",
        ),
        ("control", result.controls.more_samples.note),
        ("time", f"{times}; {result.start_seconds:.0f} s to start"),
        ("coverage", f"{result.coverage:.1%} of test verdicts known; channels: {', '.join(result.channels)}"),
    ]
    paid = [timing.dollars for timing in result.budget.timing.values()]
    if any(paid) or None in paid:
        known = [dollars for dollars in paid if dollars is not None]
        total = f"${sum(known):.4f}" if len(known) == len(paid) else "unknown: no prices were given (--price)"
        facts.append(("cost", f"{total}, evaluation and controls included"))
    if result.stopped_by:
        facts.append(("stopped", f"budget of {result.stopped_by} ran out; resume with a larger one"))
    return facts + [("note", note) for note in result.notes]


def print_attempts(console: Console, shown: Sequence[ShownAttempt]) -> None:
    """Every attempt as text, with its verdict."""
    for item in shown:
        head = f"{item.step} sample {item.attempt.index}: {_verdict(item)}"
        console.print(visible(head), style="bold", highlight=False, markup=False)
        console.print(visible(item.attempt.response[:_RESPONSE_LIMIT]), highlight=False, markup=False)


def _verdict(item: ShownAttempt) -> str:
    match item.verdict:
        case Scored(value=value, critique=critique):
            return f"{value:g} {critique}".strip()
        case Rejected(reason=reason):
            return f"rejected: {reason}"
        case Error(kind=kind):
            return f"unknown ({kind})"
        case None:
            return "not judged"
