"""Write docs/performance.md from what `sharpen bench` measured.

    sharpen bench all --json > tiny.json
    sharpen bench sampler --model smollm2 --json > smollm2-sampler.json
    sharpen bench learner --model smollm2 --json > smollm2-learner.json
    python tools/performance.py tiny.json smollm2-sampler.json smollm2-learner.json

Run it on the machine that measured; its description is written beside the figures.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from sharpen.bench.rows import Row
from sharpen.cli.bench import number
from sharpen.core.records import decode
from sharpen.models.probe import Machine, machine_profile

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"
PACKAGES = ("torch", "transformers", "trl", "xllamacpp")
HEAD = """# Performance

Written by `tools/performance.py` from the output of `sharpen bench`; do not edit.

Contenders take turns in one process on the same work. Figures are medians over the repeats, with half their
range; *ratio* is ours divided by the peer's (of rates more is better, of seconds and memory less); *of limit*
is ours as a share of what this machine could do at most by its memory bandwidth and matrix product, which are
measured in the same run.
"""
COLUMNS = ("case", "metric", "ours", "peer", "ratio", "of limit", "beside what, and notes")


def main() -> None:
    """Read the files and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=PAGE)
    options = parser.parse_args()
    tables = [table(path.stem, decode(tuple[Row, ...], path.read_bytes())) for path in options.files]
    about = hardware(machine_profile(), datetime.now(UTC).date().isoformat())
    options.out.write_text("\n".join([HEAD, about, *tables]), encoding="utf-8")


def hardware(machine: Machine, date: str) -> str:
    """What it was measured on."""
    software = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    parts = (
        date,
        f"{machine.cpu}, {machine.cores} cores, {machine.memory_gib:g} GiB, {', '.join(machine.features)}",
        machine.gpu or "no GPU",
        f"{machine.threads} compute thread(s), float32",
        software,
    )
    return "; ".join(parts) + ".\n"


def table(name: str, rows: Sequence[Row]) -> str:
    """One file's rows."""
    lines = [COLUMNS, tuple("---" for _ in COLUMNS), *(cells(row) for row in rows)]
    return "\n".join([f"## {name}\n", *(f"| {' | '.join(line)} |" for line in lines), ""])


def cells(row: Row) -> tuple[str, ...]:
    """A row as text."""
    return (
        row.case,
        row.metric,
        spread(row.ours, row.ours_range),
        spread(row.peer, row.peer_range),
        "" if row.ratio is None else f"{row.ratio:.2f}",
        "" if row.share_of_limit is None else f"{row.share_of_limit:.0%}",
        "; ".join(text for text in (row.peer_name, row.note) if text),
    )


def spread(value: float | None, between: tuple[float, float] | None) -> str:
    """The median and half the range."""
    if value is None:
        return ""
    half = (between[1] - between[0]) / 2 if between else 0.0
    return number(value) + (f" ± {number(half)}" if half > 0.005 * value else "")


if __name__ == "__main__":
    main()
