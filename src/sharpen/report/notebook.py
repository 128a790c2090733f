"""Runs in notebooks: data frames of everything in a journal, and charts that a notebook shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharpen.core.errors import BadInput, Unavailable
from sharpen.core.verdict import Scored, Verdict, value_of
from sharpen.experiment.result import Result
from sharpen.experiment.show import ShownAttempt, judged_in
from sharpen.experiment.spec import RunSpec
from sharpen.report.charts.base import Chart
from sharpen.report.charts.theme import LIGHT, theme
from sharpen.report.history import History, read_history
from sharpen.report.page import Page
from sharpen.report.run_page import run_page

if TYPE_CHECKING:
    import pandas as pd

WIDTH = 620
"""Of a chart in a notebook, in pixels."""
_VERSIONS = ("v5", "v6")
"""Of Vega-Lite: notebooks know the one or the other, and our specs keep to what both understand."""


class Figure:
    """A chart that notebooks draw by themselves, as they do with Vega-Lite; its words and numbers else."""

    def __init__(self, chart: Chart) -> None:
        """`chart` as reports have it."""
        self.chart = chart

    @property
    def spec(self) -> dict[str, Any]:
        """Vega-Lite with colours and a width, for any other tool: `altair.Chart.from_dict(figure.spec)`."""
        return {**self.chart.spec, "title": self.chart.title, "width": WIDTH, "config": theme(LIGHT)}

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        schema = str(self.spec["$schema"])
        drawn = {
            f"application/vnd.vegalite.{version}+json": {
                **self.spec,
                "$schema": schema.replace("v6", version),
            }
            for version in _VERSIONS
        }
        return {**drawn, "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"{self.chart.title}\n{self.chart.summary}"


class Loaded:
    """A run, finished or not, as it was when it was loaded; nothing in its folder is touched."""

    def __init__(self, history: History) -> None:
        """Made by `sharpen.load`."""
        self.history = history

    def __repr__(self) -> str:
        page = self._page
        return f"{page.title}\n{page.lead}"

    @property
    def spec(self) -> RunSpec:
        """What was asked for."""
        return self.history.manifest.spec

    @property
    def result(self) -> Result | None:
        """The summary, once the run is finished."""
        return self.history.result

    @cached_property
    def rounds(self) -> pd.DataFrame:
        """A row a round: validation score, exploration, gate, the method's own numbers, use so far."""
        return _frame([_round(item.model_dump()) for item in self.history.rounds], index="round")

    @cached_property
    def attempts(self) -> pd.DataFrame:
        """A row an attempt, judged ones with their score (None where the judge failed)."""
        return _frame([_attempt(item) for item in self._judged])

    @cached_property
    def verdicts(self) -> pd.DataFrame:
        """A row a verdict of an attempt that stands in `attempts`."""
        return _frame([_verdict(item, item.verdict) for item in self._judged if item.verdict is not None])

    @cached_property
    def steps(self) -> pd.DataFrame:
        """A row a finished step: what it was, what it used, how long it took."""
        return _frame(
            [
                {
                    "key": row.entry.key,
                    "verb": row.entry.verb,
                    "purpose": row.entry.purpose.value,
                    **row.entry.usage.model_dump(),
                    "seconds": row.wall.seconds,
                    "model_seconds": row.wall.model_seconds,
                    "session": row.wall.session,
                    "blob": row.entry.blob,
                }
                for row in self.history.rows
            ]
        )

    @cached_property
    def charts(self) -> Mapping[str, Figure]:
        """Every chart that the run's report has, by name."""
        return {chart.name: Figure(chart) for part in self._page.sections for chart in part.charts}

    def plot(self, name: str = "score-by-round") -> Figure:
        """One of the charts; BadInput names those there are."""
        try:
            return self.charts[name]
        except KeyError:
            known = ", ".join(self.charts)
            raise BadInput("chart", name, "this run has no such chart", remedy=f"one of: {known}") from None

    @cached_property
    def _page(self) -> Page:
        return run_page(self.history)

    @cached_property
    def _judged(self) -> tuple[ShownAttempt, ...]:
        return tuple(judged_in(self.history.rows, self.history.store))


def load(folder: Path | str) -> Loaded:
    """Read a run from its folder, also while it runs; SharpenError if there is none."""
    return Loaded(read_history(Path(folder)))


def _frame(rows: list[dict[str, Any]], index: str | None = None) -> pd.DataFrame:
    try:
        import pandas as pd
    except ImportError:
        raise Unavailable("data frames need pandas", remedy="pip install 'sharpen[notebook]'") from None
    found = pd.DataFrame(rows)
    return found.set_index(index) if index and rows else found


def _round(item: Mapping[str, Any]) -> dict[str, Any]:
    """Nested records as columns: `val.mean`, `gate.test.delta.mean`; lists as they are."""
    return dict(_flat({name: value for name, value in item.items() if value is not None}, ""))


def _flat(tree: Mapping[str, Any], before: str) -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _attempt(item: ShownAttempt) -> dict[str, Any]:
    attempt = item.attempt
    return {
        **_place(item),
        "round": attempt.round,
        "temperature": attempt.temperature,
        "stop": attempt.stop.value,
        "provenance": attempt.provenance.value,
        "turns": len(attempt.turns),
        "tokens": attempt.token_count,
        "steps": attempt.steps,
        "score": None if item.verdict is None else value_of(item.verdict),
        "response": attempt.response,
    }


def _verdict(item: ShownAttempt, verdict: Verdict) -> dict[str, Any]:
    words = verdict.critique if isinstance(verdict, Scored) else ""
    rest = verdict.model_dump(exclude={"outcome", "value", "critique", "evidence"})
    return {
        **_place(item),
        "outcome": verdict.outcome,
        "value": value_of(verdict),
        "said": words or ": ".join(filter(None, rest.values())),
    }


def _place(item: ShownAttempt) -> dict[str, Any]:
    attempt = item.attempt
    return {"step": item.step, "task": attempt.task, "index": attempt.index, "policy": attempt.policy}
