"""T5: the hack list against every verifier that is shipped, and against the loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sharpen.attacks.hacks import Caught, attack_loop, attack_verifier, hacks
from sharpen.attacks.honest import honest_texts
from sharpen.attacks.subjects import attack_world
from sharpen.executors.pool import JudgePool
from sharpen.verifiers.source import open_unproven, verifier_names

_LOOP, _WORLD = "loop", "environment "
_WORLDS = ("bargaining", "hinted", "manual", "open_spiel_bargaining", "rules")


def units() -> Sequence[str]:
    """Every verifier, the loop, and every environment by a family that is played in it."""
    return [*verifier_names(), _LOOP, *(_WORLD + name for name in _WORLDS)]


def work(unit: str) -> Mapping[str, Any]:
    """Try every hack that applies."""
    if unit == _LOOP:
        return _counted(attack_loop(), 0, 0)
    if unit.startswith(_WORLD):
        return _counted(attack_world(unit.removeprefix(_WORLD)).hacks, 0, 0)
    with JudgePool() as pool:
        done = attack_verifier(open_unproven(unit, pool=pool), honest_texts(unit), most=2)
    return _counted(done.hacks, done.honest.tried, done.honest.alarms)


def _counted(rows: Sequence[Caught], honest: int, alarms: int) -> Mapping[str, Any]:
    earned = [row.id for row in rows if row.earned]
    return {
        "ok": not earned and not alarms,
        "hacks": [row.id for row in rows],
        "tried": sum(row.tried for row in rows),
        "errors": sum(row.errors for row in rows),
        "earned": earned,
        "honest": honest,
        "alarms": alarms,
    }


def table(facts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A row per verifier, and how much of the list was tried and caught."""
    rows = [
        "| against | hacks that apply | forms tried | ended as errors | earned | honest | false alarms |",
        "|" + "---|" * 7,
    ]
    for unit, row in facts.items():
        earned = ", ".join(row["earned"]) or "none"
        counts = len(row["hacks"]), row["tried"], row["errors"], earned, row["honest"], row["alarms"]
        rows.append(f"| {unit} | {' | '.join(map(str, counts))} |")
    every = [hack.id for hack in hacks()]
    tried = {name for row in facts.values() for name in row["hacks"]}
    earned_ids = {name for row in facts.values() for name in row["earned"]}
    held = [name for name in every if name in tried - earned_ids]
    first, listed = (sum(name.startswith("H") for name in names) for names in (held, every))
    honest, alarms = (sum(row[name] for row in facts.values()) for name in ("honest", "alarms"))
    return [
        *rows,
        "",
        f"{first} of {listed} hacks of the list and {len(held) - first} of {len(every) - listed} beyond it "
        f"earned nothing anywhere; {alarms} false alarms at {honest} honest solutions.",
    ]
