"""How often a comparison of equal arms declares a difference, and how often it finds a planted one.

    python tools/null_leagues.py [LEAGUES [KIND ...]]

Every league has four methods and two controls that all answer alike (see tests/helpers_league.py), and goes
through the statistics of `sharpen compare`. Prints one line per kind of league, of all kinds if none is
named; fails above 5 %.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from helpers_league import declares_anything, made_up
from sharpen.core.league import league

KINDS: dict[str, dict[str, float]] = {
    "5 seeds, 100 tasks": {"tasks": 100},
    "5 seeds, 400 tasks": {"tasks": 400},
    "5 seeds, runs differ much": {"tasks": 200, "of_seeds": 0.05},
    "5 seeds, runs do not differ": {"tasks": 100, "of_seeds": 0.0},
    "5 seeds, greedy control": {"tasks": 200, "greedy_control": True},
    "5 seeds, tasks differ much": {"tasks": 200, "of_tasks": 4.0},
    "3 seeds, 200 tasks": {"tasks": 200, "seeds": 3},
    "2 seeds, 200 tasks": {"tasks": 200, "seeds": 2},
}


def main(count: int, kinds: Sequence[str]) -> int:
    """Count for every kind."""
    failed = 0
    for name in kinds:
        shape = KINDS[name]
        alarms = found = 0
        for number in range(count):
            alarms += declares_anything(league(*made_up(number, **shape)))  # type: ignore[arg-type]
            tested = league(*made_up(number, gain=0.1, **shape)).against["method 0"]  # type: ignore[arg-type]
            found += tested.clear and tested.delta.above_zero
        failed += alarms > 0.05 * count
        told = f"a difference in {alarms} of {count} null leagues ({alarms / count:.1%})"
        sys.stdout.write(f"{name:<30} {told:<52} +10 points found in {found / count:.0%}\n")
        sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200, sys.argv[2:] or list(KINDS)))
