"""Shows a run while it goes: one calm panel on a terminal, and plain lines everywhere."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from sharpen.core.attempt import Attempt
from sharpen.core.budget import Budget
from sharpen.core.gate import GateReport
from sharpen.core.journal import Entry, Row, Wall
from sharpen.core.stats import mean_interval
from sharpen.core.updater import Updated
from sharpen.core.verdict import Error, Rejected, Scored
from sharpen.report.silence import Silence
from sharpen.report.standing import Standing
from sharpen.report.text import one_line, visible

_QUIET_VERBS = ("manifest", "unseal", "configure", "propose", "search")
_VERSION = re.compile("[0-9a-f]{16}")
_SHORT, _QUIET = 0.05, 1.0
"""A step of less than `_SHORT` seconds gets no line within `_QUIET` seconds of another one."""
_LOG_EVERY = 20.0
"""Seconds between progress lines where there is no terminal."""


class Rate(ProgressColumn):
    """How many of what the bar counts are done in a second."""

    def render(self, task: Task) -> Text:
        """Empty until it is known."""
        return Text(f"{task.speed:.3g}/s" if task.speed else "")


class Panel(Progress):
    """The bar of the step that is at work, and below it where the run stands."""

    def __init__(self, standing: Standing, *columns: ProgressColumn, console: Console) -> None:
        """`standing` is read whenever the panel is drawn."""
        self._standing = standing
        super().__init__(*columns, console=console, transient=True, disable=not console.is_terminal)

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bar, and a line for each thing that is known."""
        yield self.make_tasks_table(self.tasks)
        for name, text in self._standing.lines():
            yield Text(f"{name:<10} {one_line(text, 200)}", no_wrap=True, overflow="ellipsis")


class Live:
    """A listener that writes to a rich console; use as a context manager."""

    def __init__(self, console: Console, limits: Budget | None = None, begun: Iterable[Row] = ()) -> None:
        """`console` should write to standard error when standard output carries JSON.

        `limits` are those that bind now, where the run was begun with others; `begun` are the rows of a run
        that goes on.
        """
        self._console = console
        self._standing = Standing(limits, begun)
        self._progress = Panel(
            self._standing,
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            Rate(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task: TaskID | None = None
        self._step = ""
        self._logged = time.monotonic()
        self._replayed: int | None = 0
        """Steps read from the journal before the first new one; None from then on."""
        self._place = ""
        self._tally = _Tally()
        self._silence = Silence(partial(self._line, "waiting"))

    def __enter__(self) -> Live:
        self._progress.start()
        self._silence.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._silence.__exit__()
        self._progress.stop()

    def progress(self, step: str, done: float, total: float, note: str) -> None:
        """Move the bar; without a terminal write a line now and then."""
        self._silence.heard()
        if step != self._step:
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._step = step
            self._task = self._progress.add_task(_title(step), total=total, note=note)
        assert self._task is not None
        self._progress.update(self._task, completed=done, total=total, note=note)
        if not self._console.is_terminal and time.monotonic() - self._logged > _LOG_EVERY:
            self._line(_title(step), f"{done:g} of {total:g} {note}")

    def finished(self, entry: Entry, wall: Wall, result: object, *, replayed: bool) -> None:
        """Sum up a finished step in one line once all its chunks are there."""
        self._silence.heard()
        new_round = self._standing.hear(entry, wall, result, replayed=replayed)
        if replayed:
            self._replayed = None if self._replayed is None else self._replayed + 1
            return
        if self._replayed:
            self._line("journal", f"{self._replayed} finished steps read; going on from there")
        self._replayed = None
        step = entry.key.rsplit("/", 1)[0] if entry.verb in ("attempt", "judge") else entry.key
        if step != self._place:
            self._flush()
            self._place = step
        if new_round:
            self._begin_round()
        if entry.verb == "warn":
            self._line("warning", str(result))
        elif entry.verb not in _QUIET_VERBS:
            self._tally.add(entry, wall, result)

    def tell(self, name: str, text: str) -> None:
        """What is to be known before any work."""
        self._line(name, text)

    def close(self) -> None:
        """Write what is still pending."""
        self._flush()

    def _flush(self) -> None:
        recent = time.monotonic() - self._logged < _QUIET
        text = self._tally.text(one_each=self._place.startswith("evaluate/"))
        if text and not (recent and self._tally.seconds < _SHORT):
            self._line(_title(self._place), text)
        self._tally = _Tally()

    def _begin_round(self) -> None:
        """Where there is no panel, say at each round's begin what it would show."""
        if not self._console.is_terminal:
            left, score, budget = self._standing.time_left, self._standing.score, self._standing.budget
            val = f"val score {score.percent()}" if score else ""
            self._line(self._standing.place, "; ".join(filter(None, (val, budget, left))))

    def _line(self, left: str, right: str) -> None:
        self._logged = time.monotonic()
        self._console.print(visible(f"{left:<34} {right}").rstrip(), highlight=False, markup=False)


class _Tally:
    """What the chunks of one step add up to."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._tokens = 0
        self._steps = 0
        self._values: list[float] = []
        self._errors = 0
        self._attempts = 0
        self._other = ""

    def add(self, entry: Entry, wall: Wall, result: object) -> None:
        self.seconds += wall.seconds
        self._tokens += entry.usage.sampled_tokens
        self._steps += entry.usage.environment_steps
        match result:
            case dict() if entry.verb == "measure":
                self._other = numbers(result)
            case Updated(report=report):
                self._other = _learned(report, wall.seconds)
            case GateReport():
                self._other = _gated(result)
            case tuple():
                self._add_many(result)
            case _:
                self._other = f"{len(result)} kept" if hasattr(result, "__len__") else ""

    def _add_many(self, items: Sequence[object]) -> None:
        for item in items:
            match item:
                case Attempt():
                    self._attempts += 1
                case Scored(value=value):
                    self._values.append(value)
                case Rejected():
                    self._values.append(0.0)
                case Error():
                    self._errors += 1

    def text(self, *, one_each: bool) -> str:
        """One line, or nothing; attempts at tasks that have one each are independent and get an interval."""
        if self._attempts:
            amount, unit = (self._tokens, "tokens") if self._tokens else (self._steps, "steps")
            rate = amount / max(self.seconds, 1e-9)
            return f"{self._attempts} attempts, {amount:,} {unit}, {rate:,.0f} {unit}/s"
        if self._values or self._errors:
            return self._score(one_each) + (
                f", {self._errors} unknown (judge errors)" if self._errors else ""
            )
        return self._other

    def _score(self, one_each: bool) -> str:
        if not self._values:
            return "no score"
        mean = sum(self._values) / len(self._values)
        if not 0 <= min(self._values) <= max(self._values) <= 1:
            # Rewards or log-probabilities: no share of anything.
            return f"mean {mean:.4g}"
        return f"{mean_interval(self._values).percent() if one_each else f'{mean:.1%}'} right"


def numbers(measured: Mapping[str, float]) -> str:
    """Names and values in one line."""
    return ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in measured.items())


def _title(step: str) -> str:
    parts = step.split("/")
    if parts[0] == "evaluate":
        version = next((part for part in parts[2:] if _VERSION.fullmatch(part)), parts[-1])
        return f"{parts[1]} of {version[:8]}"
    return step.replace("round.", "round ").replace("/", " ")


def _learned(report: Mapping[str, object], seconds: float) -> str:
    losses = report.get("losses")
    if isinstance(losses, list | tuple) and losses:
        return f"{len(losses)} steps, loss {losses[0]:.3f} to {losses[-1]:.3f}, {seconds:.1f} s"
    return str(report.get("skipped", f"{seconds:.1f} s"))


def _gated(report: GateReport) -> str:
    change = report.test.delta
    verb = "adopted" if report.adopted else "not adopted"
    return f"val {change.percent(signed=True)}: {report.decision}, {verb}"
