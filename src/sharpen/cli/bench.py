"""The command that measures speed, side by side with peers."""

from __future__ import annotations

import logging
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from sharpen.cli.output import Json, print_json

if TYPE_CHECKING:
    from sharpen.bench.rows import Row


class Part(StrEnum):
    """What is measured."""

    SAMPLER = "sampler"
    LEARNER = "learner"
    JUDGES = "judges"
    SEARCH = "search"
    LOOP = "loop"
    ALL = "all"


def bench(
    part: Part,
    /,
    *,
    model: str = "tiny",
    threads: int | None = None,
    quick: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> None:
    """Measure speed side by side with peers and with this machine's limits.

    Parameters
    ----------
    part
        sampler, learner, judges, search, loop, or all.
    model
        A local model, as `sharpen models` lists them.
    threads
        Compute threads; unset, what was measured fastest on this machine.
    quick
        Small cases, each once: shows that everything works, not how fast it is.
    """
    from sharpen.bench.parts import measured

    parts = [each.value for each in Part if each is not Part.ALL] if part is Part.ALL else [part.value]
    rows: list[Row] = []
    _show_progress()
    for name in parts:
        found = measured(name, model, threads=threads, quick=quick)
        rows += found
        if not json:
            sys.stdout.write(f"{name}\n" + "".join(f"  {line}\n" for line in lines(found)))
            sys.stdout.flush()
    if json:
        print_json(rows)


def _show_progress() -> None:
    """Each figure on standard error as it comes, apart from the result."""
    log = logging.getLogger("sharpen.bench")
    if not log.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%H:%M:%S"))
        log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False


def lines(rows: list[Row]) -> list[str]:
    """The rows as aligned text."""
    head = ("case", "metric", "ours", "peer", "ratio", "of limit", "peer's name, note")
    cells = [head, *map(_cells, rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(head) - 1)]
    return [
        "  ".join(
            [f"{text:<{width}}" for text, width in zip(line[:2], widths[:2], strict=True)]
            + [f"{text:>{width}}" for text, width in zip(line[2:-1], widths[2:], strict=True)]
            + [line[-1]]
        ).rstrip()
        for line in cells
    ]


def _cells(row: Row) -> tuple[str, ...]:
    share = "" if row.share_of_limit is None else f"{row.share_of_limit:.0%}"
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    told = "; ".join(text for text in (row.peer_name, row.note) if text)
    return (
        row.case,
        row.metric,
        _with_range(row.ours, row.ours_range),
        _with_range(row.peer, row.peer_range),
        ratio,
        share,
        told,
    )


def _with_range(value: float | None, between: tuple[float, float] | None) -> str:
    """The median, and half the range as a share of it."""
    if value is None:
        return ""
    spread = (between[1] - between[0]) / 2 / value if between and value else 0.0
    return number(value) + (f" ±{spread:.0%}" if spread >= 0.005 else "")


def number(value: float) -> str:
    """Three significant digits and more."""
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"
