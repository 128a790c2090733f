"""Shows a run while it goes: a bar with rate and time left on a terminal, calm lines everywhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from sharpen.core.attempt import Attempt
from sharpen.core.gate import GateReport
from sharpen.core.journal import Entry, Wall
from sharpen.core.updater import Updated
from sharpen.core.verdict import Error, Rejected, Scored

_QUIET_VERBS = ("manifest", "unseal", "configure", "propose", "search")
_SHORT, _QUIET = 0.05, 1.0
"""A step of less than `_SHORT` seconds gets no line within `_QUIET` seconds of another one."""
_LOG_EVERY = 20.0
"""Seconds between progress lines where there is no terminal."""


class Live:
    """A listener that writes to a rich console; use as a context manager."""

    def __init__(self, console: Console) -> None:
        """`console` should write to standard error when standard output carries JSON."""
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._step = ""
        self._logged = time.monotonic()
        self._replayed: int | None = 0
        """Steps read from the journal before the first new one; None from then on."""
        self._place = ""
        self._tally = _Tally()

    def __enter__(self) -> Live:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def progress(self, step: str, done: float, total: float, note: str) -> None:
        """Move the bar; without a terminal write a line now and then."""
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
        if entry.verb == "warn":
            self._line("warning", str(result))
        elif entry.verb not in _QUIET_VERBS:
            self._tally.add(entry, wall, result)

    def close(self) -> None:
        """Write what is still pending."""
        self._flush()

    def _flush(self) -> None:
        recent = time.monotonic() - self._logged < _QUIET
        if (text := self._tally.text()) and not (recent and self._tally.seconds < _SHORT):
            self._line(_title(self._place), text)
        self._tally = _Tally()

    def _line(self, left: str, right: str) -> None:
        self._logged = time.monotonic()
        self._console.print(f"{left:<34} {right}", highlight=False, markup=False)


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

    def text(self) -> str:
        """One line, or nothing."""
        if self._attempts:
            amount, unit = (self._tokens, "tokens") if self._tokens else (self._steps, "steps")
            rate = amount / max(self.seconds, 1e-9)
            return f"{self._attempts} attempts, {amount:,} {unit}, {rate:,.0f} {unit}/s"
        if self._values or self._errors:
            score = f"{sum(self._values) / len(self._values):.1%} right" if self._values else "no score"
            return score + (f", {self._errors} unknown (judge errors)" if self._errors else "")
        return self._other


def numbers(measured: Mapping[str, float]) -> str:
    """Names and values in one line."""
    return ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in measured.items())


def _title(step: str) -> str:
    parts = step.split("/")
    if parts[0] == "evaluate":
        return f"{parts[1]} of {parts[2][:8]}"
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
