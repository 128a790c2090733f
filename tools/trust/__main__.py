"""Runs the long proofs in pieces that are never done twice, and writes what came of them.

    python -m trust [PIECE ...] [--seconds N] [--again]

Every finished unit is one entry of results/trust/PIECE.json; a call goes on where the last one stopped, or
was killed. After each call the tables of docs/durability.md and docs/trust.md are written anew from
these files. Exit status 1 unless every unit is done and as it should be.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from sharpen.core.artifact import write_atomic

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results" / "trust"
DURABILITY, TRUST = (ROOT / "docs" / name for name in ("durability.md", "trust.md"))
PIECES: Mapping[str, str] = {
    "kills": "T1: kills, torn writes, full and failing disks",
    "schedules": "T2: workers and schedules",
    "edits": "T3: changed runs",
    "refusals": "T3: flipped bits",
    "escapes": "T4: the escape list",
    "hacks": "T5: the hack list",
    "judges": "T7: master keys",
    "fuzzing": "T6: hostile texts",
    "outages": "T8: errors are not zeros",
    "gates": "T9: honest gates",
    "load": "T10: many rows",
    "freezes": "T11: what stands still",
    "collapses": "T13: planted collapses",
}
"""Module -> heading. Each module has `units()`, `work(unit) -> facts` and `table(facts by unit) -> lines`."""

ATTACKS = frozenset(("escapes", "hacks", "judges"))
"""Pieces whose tables stand on docs/trust.md."""

Rows = dict[str, dict[str, JsonValue]]


def read(piece: str) -> Rows:
    """What is known of a piece, by unit."""
    path = RESULTS / f"{piece}.json"
    rows: Rows = json.loads(path.read_text()) if path.is_file() else {}
    return rows


def commit() -> str:
    """The commit that is tested, with a mark if what is run was changed since."""
    name = _git("rev-parse", "--short=10", "HEAD") or "unknown"
    return name + "-dirty" * bool(_git("status", "--porcelain", "--", "src", "tests", "tools"))


def _git(*words: str) -> str:
    return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True).stdout.strip()


def go_on(piece: str, module: Any, until: float, *, again: bool) -> bool:
    """Do units that are not done yet, while there is time; whether all are done and well."""
    units, rows = module.units(), {} if again else read(piece)
    for unit in [unit for unit in units if unit not in rows]:
        if time.monotonic() > until:
            break
        began = time.monotonic()
        facts = module.work(unit)
        seconds = round(time.monotonic() - began, 1)
        rows[unit] = {
            **facts,
            "seconds": seconds,
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "commit": commit(),
        }
        ordered = {name: rows[name] for name in units if name in rows}
        write_atomic(RESULTS / f"{piece}.json", json.dumps(ordered, indent=1).encode() + b"\n")
        print(f"{piece:10} {len(ordered):4}/{len(units)}  {unit}: {facts}  {seconds} s", flush=True)
    return len(rows) >= len(units) and all(row.get("ok", True) for row in rows.values())


def write_page(page: Path) -> None:
    """Put the tables between the marks of their pieces."""
    text = page.read_text()
    for piece in PIECES:
        begin, end = f"<!-- {piece} -->", f"<!-- end of {piece} -->"
        if (page == TRUST) != (piece in ATTACKS):
            continue
        head, _, rest = text.partition(begin)
        _, found, tail = rest.partition(end)
        if not found:
            raise SystemExit(f"{page} has no place for {piece}")
        text = f"{head}{begin}\n{_section(piece)}\n{end}{tail}"
    write_atomic(page, text.encode())


def _section(piece: str) -> str:
    rows = read(piece)
    if not rows:
        return "Not run yet."
    module: Any = importlib.import_module(f"trust.{piece}")
    units = module.units()
    known = {unit: rows[unit] for unit in units if unit in rows}
    dates, commits = (sorted({str(row[name]) for row in known.values()}) for name in ("date", "commit"))
    told = f"{len(known)} of {len(units)} units, {_span(dates)}, commit {_span(commits)}."
    return "\n".join([*module.table(known), "", told])


def _span(values: Sequence[str]) -> str:
    return values[0] if len(values) == 1 else f"{values[0]} to {values[-1]}"


def main() -> None:
    """Run the pieces that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m trust", description=__doc__)
    parser.add_argument("pieces", nargs="*", choices=[*PIECES, []], metavar="PIECE", help=", ".join(PIECES))
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no unit after this long")
    parser.add_argument("--again", action="store_true", help="do finished units again")
    asked = parser.parse_args()
    until, well = time.monotonic() + asked.seconds, True
    for piece in asked.pieces or PIECES:
        well &= go_on(piece, importlib.import_module(f"trust.{piece}"), until, again=asked.again)
        write_page(TRUST if piece in ATTACKS else DURABILITY)
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
