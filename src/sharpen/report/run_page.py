"""The report of one run: what its history has, in sections; what it does not have is left out."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from itertools import dropwhile, groupby
from pathlib import Path
from typing import Any

from sharpen.core.attempt import Attempt, Author
from sharpen.core.verdict import Error, Rejected, Scored, Verdict, value_of
from sharpen.experiment.result import Result, Round
from sharpen.monitors.exploration import RIGHT
from sharpen.report.charts import decisions, graphs, rounds, spending
from sharpen.report.charts.base import Cell, Chart, Table, count
from sharpen.report.history import Example, History, Tried
from sharpen.report.page import Contrast, Cut, Page, Picture, Section, Side, Titled
from sharpen.report.samples import NAME as SAMPLES

MOST_EXAMPLES = 10
MOST_TREES = 6
WIDEST_QUESTION = 2_000
"""Characters of a prompt's end that are shown; solved examples before the question are left out."""


def run_page(history: History) -> Page:
    """Everything that can be said of a run, finished or not."""
    spec, result = history.manifest.spec, history.result
    sections = (
        _scores(history),
        _exploration(history),
        changes(history),
        _gates(history),
        _own(history),
        _trees(history),
        _lineage(history),
        growth(history),
        _spending(history),
        _settings(history),
    )
    return Page(
        kind=f"run {history.folder.name}",
        title=f"{Path(spec.recipe).stem} on {spec.task}, {spec.model}",
        lead=result.conclusion if result else _unfinished(history),
        warnings=_warnings(history),
        sections=tuple(section for section in sections if not section.empty),
    )


def _unfinished(history: History) -> str:
    reached = count(len(history.rounds), "round") if history.rounds else "no round"
    opened = any(row.entry.verb == "unseal" for row in history.rows)
    test = "The test is under way." if opened else "The test split is still sealed."
    return f"Not finished: {reached} so far, {count(len(history.rows), 'step')}. {test}"


def _warnings(history: History) -> tuple[str, ...]:
    stopped = history.result.stopped_by if history.result else None
    budget = (f"The budget of {stopped.replace('_', ' ')} ran out.",) if stopped else ()
    return (*budget, *history.warnings)


def charts_of(*found: Chart | None) -> tuple[Chart, ...]:
    """Those that there are."""
    return tuple(chart for chart in found if chart is not None)


def _scores(history: History) -> Section:
    result = history.result
    return Section(
        name="scores",
        title="Scores",
        facts=_test_facts(result) if result else (),
        charts=charts_of(
            decisions.test_scores(result) if result else None,
            rounds.score_curve(history.base_val, history.rounds),
        ),
        tables=(_environment_facts(result),) if result and result.test.facts else (),
        pictures=_pictures(history.folder / SAMPLES),
    )


def _test_facts(result: Result) -> tuple[tuple[str, str], ...]:
    test, controls = result.test, result.controls
    flow = test.flows
    return (
        ("after - before", f"{test.delta.percent(signed=True)}, p = {test.p_value:.3g} (paired, exact)"),
        (
            "after - no update",
            f"{controls.no_update.after_minus.percent(signed=True)}; {controls.no_update.note}",
        ),
        (
            "after - more samples",
            f"{controls.more_samples.after_minus.percent(signed=True)}; {controls.more_samples.note}",
        ),
        (
            "flows on test",
            f"{flow.wrong_to_right} wrong to right, {flow.right_to_wrong} right to wrong, "
            f"{flow.stayed_right} stayed right, {flow.stayed_wrong} stayed wrong, {flow.unknown} unknown",
        ),
        ("coverage", f"{result.coverage:.1%} of test verdicts known"),
        ("openings of the test", str(test.openings)),
        ("policy", f"{result.policy}; best on validation: {result.best_on_val}"),
    )


def _environment_facts(result: Result) -> Titled:
    rows = tuple(
        (name.replace("_", " "), str(change.before), change.before.n, str(change.after), change.after.n)
        for name, change in result.test.facts.items()
    )
    return Titled(
        title="What the environment and the verifier report on the sealed test",
        table=Table(columns=("fact", "before", "n before", "after", "n after"), rows=rows),
    )


def _pictures(path: Path) -> tuple[Picture, ...]:
    if not path.is_file():
        return ()
    data = base64.b64encode(path.read_bytes()).decode()
    text = "Test captions with the picture of the policy at the start (left) and at the end (right)"
    return (Picture(text=text, data=f"data:image/png;base64,{data}"),)


def _exploration(history: History) -> Section:
    table = rounds.explored(history.rounds)
    return Section(
        name="exploration",
        title="Exploration and exploitation",
        charts=(*charts_of(rounds.pass_rates(history.rounds)), *rounds.variety(history.rounds)),
        tables=(Titled(title="Attempts at training tasks by round", table=table),) if table.rows else (),
    )


def changes(history: History) -> Section:
    """Flows between right and wrong on validation tasks, and some tasks before and after."""
    examples = history.examples
    kept = sorted(_telling(examples), key=examples.index)
    split = "test" if history.result else "validation"
    more = f"{len(kept)} of {len(examples)} {split} tasks whose score changed."
    return Section(
        name="changes",
        title="What changed",
        notes=(more,) if kept else (),
        charts=charts_of(decisions.flows_between(history.moves)),
        examples=tuple(map(_contrast, kept)),
    )


def _telling(examples: Sequence[Example]) -> list[Example]:
    """Some of each kind, gained and lost, first those whose texts are there and short."""
    ranked = sorted(examples, key=lambda item: (item.after.attempt is None, len(_text(item.after))))
    gained = [item for item in ranked if _gained(item)]
    lost = [item for item in ranked if not _gained(item)]
    most = max(MOST_EXAMPLES // 2, MOST_EXAMPLES - len(lost))
    return [*gained[:most], *lost[: MOST_EXAMPLES - min(len(gained), most)]]


def _gained(item: Example) -> bool:
    before, after = value_of(item.before.verdict), value_of(item.after.verdict)
    return before is None or (after is not None and after > before)


def _text(tried: Tried) -> str:
    """What was written; with the names of those who wrote it where others than the policy did, too."""
    turns = tried.attempt.turns if tried.attempt else ()
    later = list(dropwhile(lambda turn: turn.author is not Author.POLICY, turns))
    if all(turn.author is Author.POLICY for turn in later):
        return "".join(turn.text for turn in later).strip()
    said = groupby(later, key=lambda turn: turn.role or turn.author.value)
    return "\n".join(f"[{who}] {''.join(turn.text for turn in some).strip()}" for who, some in said)


def _contrast(item: Example) -> Contrast:
    shown = item.after.attempt or item.before.attempt
    question = _question(shown) if shown else ""
    return Contrast(
        task=item.task,
        question=Cut.of(question) if question else None,
        before=_side(item.before),
        after=_side(item.after),
    )


def _question(attempt: Attempt) -> str:
    """The last block of what stood before the policy wrote."""
    given = next((turn.text for turn in attempt.turns if turn.author is not Author.POLICY), "")
    return given.strip().rpartition("\n\n")[2][-WIDEST_QUESTION:]


def _side(tried: Tried) -> Side:
    kind, verdict, critique = said_of(tried.verdict)
    text = Cut.of(_text(tried)) if tried.attempt else None
    return Side(kind=kind, verdict=verdict, critique=critique, text=text)


def said_of(verdict: Verdict) -> tuple[str, str, str]:
    """A verdict as its kind (right, wrong, partly, unknown), in words, and what else was said."""
    match verdict:
        case Scored(value=value, critique=critique):
            kind = "right" if value >= RIGHT else "wrong" if value <= 0 else "partly"
            return kind, f"{kind} ({value:g})", critique
        case Rejected(reason=reason):
            return "wrong", "rejected", reason
        case Error(kind=kind, detail=detail):
            return "unknown", f"unknown: the judge failed ({kind})", detail


def _gates(history: History) -> Section:
    mode = next((item.gate.mode for item in history.rounds if item.gate), None)
    note = {
        "observe": "The gate only measures: every candidate is adopted, as in papers without a gate.",
        "enforce": "Only accepted candidates are adopted.",
    }
    return Section(
        name="gates",
        title="Gate",
        notes=(note[mode.value],) if mode else (),
        charts=charts_of(decisions.gates(history.rounds)),
    )


def _own(history: History) -> Section:
    table = _measures(history.rounds)
    return Section(
        name="method",
        title="The method's own numbers",
        charts=(*rounds.measures(history.rounds), *charts_of(rounds.losses(history.rounds))),
        tables=(Titled(title="By round", table=table),) if table.rows else (),
    )


def _measures(found: Sequence[Round]) -> Table:
    names = list(dict.fromkeys(name for item in found for name in item.measures))
    rows = [
        (item.round, *(item.measures.get(name) for name in names)) for item in found if item.measures
    ]  # a cell that is empty was not measured in that round
    return Table(
        columns=("round", *(name.replace("_", " ") for name in names)),
        rows=tuple(tuple("" if value is None else value for value in row) for row in rows),
    )


def _trees(history: History) -> Section:
    trees = sorted(history.trees, key=lambda shown: -len(shown.tree.nodes))[:MOST_TREES]
    note = f"The largest {len(trees)} of {len(history.trees)} trees. Drag to move, shift and wheel to zoom."
    return Section(
        name="trees",
        title="Search trees",
        notes=(note,) if trees else (),
        charts=tuple(graphs.search_tree(shown.tree, f"tree-{n}") for n, shown in enumerate(trees)),
    )


def _lineage(history: History) -> Section:
    return Section(name="lineage", title="Lineage", charts=charts_of(graphs.lineage(history.born)))


def growth(history: History) -> Section:
    """Sizes of memories, skills and whatever else is learnt besides weights, over the updates."""
    return Section(
        name="growth", title="Growth of what is learnt", charts=tuple(graphs.growth(history.grown))
    )


def _spending(history: History) -> Section:
    result = history.result
    facts: list[tuple[str, str]] = []
    if result:
        loop = result.wall_seconds - result.start_seconds
        facts = [
            ("wall-clock", f"{result.wall_seconds:.1f} s, of which {result.start_seconds:.1f} s to start"),
            ("share in the model", f"{result.model_time_share:.0%} of {loop:.1f} s"),
        ]
    return Section(
        name="spending",
        title="Budget and time",
        facts=tuple(facts),
        charts=charts_of(
            spending.usage(history.used, history.manifest.spec.budget),
            spending.usage_by_round(history.rounds),
            spending.time_spent(history.worked),
        ),
    )


def _settings(history: History) -> Section:
    result = history.result
    spec = history.manifest.spec.model_dump(mode="json", exclude_none=True)
    tables = [
        Titled(title="Asked for", table=flat(spec)),
        Titled(title="Resolved", table=flat(history.manifest.identity)),
    ]
    facts: list[tuple[str, str]] = []
    if result:
        tables += [
            Titled(title="Hardware", table=flat(result.hardware)),
            Titled(title="Versions", table=flat(result.versions)),
        ]
        facts = [
            ("paper", result.paper),
            ("channels seen", ", ".join(result.channels) or "none"),
            ("journal", result.journal_head),
            *(("note", note) for note in result.notes if note not in history.warnings),
        ]
    return Section(
        name="settings", title="Configuration and hardware", facts=tuple(facts), tables=tuple(tables)
    )


def flat(tree: Mapping[str, Any]) -> Table:
    """Nested settings as rows of dotted name and value."""
    return Table(columns=("name", "value"), rows=tuple(_flat(tree, "")))


def _flat(tree: Mapping[str, Any], before: str) -> Iterator[tuple[Cell, ...]]:
    for name, value in tree.items():
        match value:
            case Mapping():
                yield from _flat(value, f"{before}{name}.")
            case list() | tuple():
                yield f"{before}{name}", ", ".join(map(str, value))
            case float() if value.is_integer():
                yield f"{before}{name}", f"{value:.0f}"
            case _:
                yield f"{before}{name}", str(value)
