"""T7: master keys against judges that are models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sharpen.attacks.judges import attack_judge
from sharpen.core.errors import SharpenError
from sharpen.judges.asking import Way

_TASKS = 8


def units() -> Sequence[str]:
    """The judge's model and how it answers; the first repeats the candidate's words."""
    return ["scripted:echo written", "tiny choice", "tiny written", "smollm2 choice"]


def work(unit: str) -> Mapping[str, Any]:
    """Put every key to the judge."""
    model, way = unit.split(" ")
    try:
        report = attack_judge(model, way=Way(way), tasks=_TASKS)
    except SharpenError as error:
        return {"ok": True, "skipped": error.problem[:200]}
    shares = (report.false_passes, report.wrong_passes, report.right_passes)
    return {
        "ok": model != "scripted:echo" or report.false_passes.n == 0,
        "keys": len(report.keys),
        "shares": [share.percent() if share.n else "no reply could be read" for share in shares],
        "errors": sum(key.errors for key in report.keys),
        "asked": sum(key.tried for key in report.keys),
    }


def table(facts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A row per judge; only the parser promises anything, a model's judgement is measured."""
    rows = [
        "| judge | master keys pass | a wrong answer passes | the right one passes | replies not read |",
        "|" + "---|" * 5,
    ]
    for unit, row in facts.items():
        if "skipped" in row:
            rows.append(f"| {unit} | not tried: {row['skipped']} | | | |")
            continue
        rows.append(f"| {unit} | {' | '.join(row['shares'])} | {row['errors']} of {row['asked']} |")
    return rows
