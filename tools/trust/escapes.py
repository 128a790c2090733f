"""T4: the escape list against every back end and level, as root and as an ordinary user, and without any."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sharpen.attacks.escapes import attack_sandbox, escapes, harm_without
from sharpen.attacks.others import NOBODY, said_by_nobody
from sharpen.core.errors import Unavailable
from sharpen.sandbox.limits import Backend, Hold, Level

_WAYS = (
    ("kernel", Level.WALLED),
    ("kernel", Level.ISOLATED),
    ("bubblewrap", Level.ISOLATED),
    ("docker", Level.ISOLATED),
)
_CONTROL = "without a sandbox"


def units() -> Sequence[str]:
    """Back end, level and user; then what the harmful ones do where nothing holds them."""
    users = ("root", "user") if os.getuid() == 0 else ("user",)
    ways = [f"{backend} {level} {user}" for backend, level in _WAYS for user in users]
    return [*ways, _CONTROL]


def work(unit: str) -> Mapping[str, Any]:
    """Try the whole list."""
    if unit == _CONTROL:
        harmful = [one for one in escapes() if one.harmful]
        tame = [one.id for one in harmful if not harm_without(one)]
        return {"ok": not tame, "harmful": len(harmful) - len(tame), "of": len(harmful), "tame": tame}
    backend, level, user = unit.split(" ")
    try:
        if user == "user" and os.getuid() == 0:
            program = f"from trust.escapes import attacked\nprint(attacked({backend!r}, {level!r}))"
            here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
            counts = json.loads(said_by_nobody(f"import sys\nsys.path.append({here!r})\n{program}"))
        else:
            counts = json.loads(attacked(backend, level))
    except Unavailable as error:
        return {"ok": True, "skipped": error.problem[:200]}
    return {"ok": not counts["out"], **counts}


def attacked(backend: str, level: str) -> str:
    """What came of every escape, counted, as JSON; as the user who calls it."""
    rows = attack_sandbox(Hold(Level(level), Level(level), Backend(backend)))
    counts = Counter(row.held.value for row in rows)
    listed = [row for row in rows if row.id.startswith("S")]
    out = [row.id for row in rows if row.held == "escaped"]
    return json.dumps(
        {
            "uid": os.getuid() or 0,
            "listed": len(listed),
            "listed held": sum(row.held != "escaped" for row in listed),
            "beyond": len(rows) - len(listed),
            "contained": counts["contained"],
            "refused": counts["refused"],
            "out": out,
        }
    )


def table(facts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A row per way."""
    rows = ["| sandbox | user | of the list | beyond it | contained | refused | got out |", "|" + "---|" * 7]
    for unit, row in facts.items():
        if unit == _CONTROL:
            continue
        backend, level, user = unit.split(" ")
        if "skipped" in row:
            rows.append(f"| {backend}, {level} | {user} | not tried: {row['skipped']} | | | | |")
            continue
        out = ", ".join(row["out"]) or "none"
        name = f"{user} {NOBODY}" if user == "user" else user
        listed = f"{row['listed held']} of {row['listed']}"
        rows.append(
            f"| {backend}, {level} | {name} | {listed} | {row['beyond']} | {row['contained']} | "
            f"{row['refused']} | {out} |"
        )
    if control := facts.get(_CONTROL):
        rows += [
            "",
            f"Without a sandbox {control['harmful']} of {control['of']} that can be let loose do harm.",
        ]
    return rows
