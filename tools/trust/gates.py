"""T9: how often a run accepts a candidate that is no improvement, and how often it finds one that is.

Runs are simulated: tasks have chances of their own to be solved, every policy is scored once on fixed tasks,
and the gate's own statistics decide round by round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import NamedTuple

from pydantic import JsonValue

from sharpen.core.gate import UNSPENT
from sharpen.core.seeds import random_for
from sharpen.core.stats import mean_interval, no_gain

ALPHA = 0.05
RUNS = 200
"""Simulated runs of a unit."""
BLOCKS = 5
"""Units of a world."""


class Round(NamedTuple):
    """What a candidate's scores are drawn from."""

    rng: Random
    chances: Sequence[float]
    """Of every task, for the policy that the run began with."""
    incumbent: Sequence[float]
    gain: float
    """True gain of the candidate over the policy that the run began with."""


class World(NamedTuple):
    """Runs of a kind."""

    draw: Callable[[Round], list[float]]
    gain: Callable[[int, float], float]
    """(round, the incumbent's true gain) -> the candidate's true gain."""
    start: Callable[[Round], list[float]]
    """As `draw`, for the policy that the run begins with."""
    tasks: int = 100
    rounds: int = 20
    wanted: int = 0
    """Round whose acceptance is counted as a find; 0 for none."""


def anew(it: Round) -> list[float]:
    """0/1 scores."""
    return [float(it.rng.random() < chance + it.gain) for chance in it.chances]


def near_copy(it: Round) -> list[float]:
    """The incumbent's own scores, but for one task in ten."""
    return [a if it.rng.random() < 0.1 else b for a, b in zip(anew(it), it.incumbent, strict=True)]


def graded(it: Round) -> list[float]:
    """Mean of four draws a task."""
    return [sum(it.rng.random() < chance + it.gain for _ in range(4)) / 4 for chance in it.chances]


def skewed(it: Round) -> list[float]:
    """A little better on nine tasks in ten and far worse on the tenth: no better on the whole."""
    return [base + (0.04 if it.rng.random() < 0.9 else -0.36) for base in it.incumbent]


def halves(it: Round) -> list[float]:
    """Half a point for every task."""
    return [0.5 for _ in it.chances]


def nothing(number: int, incumbent: float) -> float:
    """No candidate is ever better."""
    return incumbent


def worse(number: int, incumbent: float) -> float:
    """Every candidate is two points worse."""
    return incumbent - 0.02


def mixed(number: int, incumbent: float) -> float:
    """Every fourth candidate is ten points better than the incumbent, the others are as good."""
    return min(0.4, incumbent + 0.1) if number % 4 == 1 else incumbent


def better_at(wanted: int, points: float) -> Callable[[int, float], float]:
    """One candidate is better."""
    return lambda number, incumbent: incumbent + points * (number == wanted)


NULLS: Mapping[str, World] = {
    "null, 0/1 scores": World(anew, nothing, anew),
    "null, 0/1 scores, 24 tasks": World(anew, nothing, anew, tasks=24),
    "null, 50 rounds": World(anew, nothing, anew, rounds=50),
    "null, near copies": World(near_copy, nothing, anew),
    "null, graded scores": World(graded, nothing, graded),
    "null, many small gains and few great losses, 30 tasks": World(skewed, nothing, halves, tasks=30),
    "two points worse": World(anew, worse, anew),
    "a true gain every fourth round, else null": World(anew, mixed, anew),
}

POWERS: Mapping[str, World] = {
    f"+{points:.0%} in round {number}, {tasks} tasks": World(
        anew, better_at(number, points), anew, tasks=tasks, rounds=number, wanted=number
    )
    for points in (0.05, 0.1, 0.2)
    for number in (1, 5, 20)
    for tasks in (100, 400)
}
WORLDS = {**NULLS, **POWERS}


class Run(NamedTuple):
    """What happened in one simulated run."""

    false: bool
    """A candidate was accepted that is no better than the incumbent."""
    found: bool
    """The candidate that is better was accepted."""
    naive: bool
    """A candidate that is no better would have been accepted at the plain level in each round."""


def simulated(world: World, rng: Random) -> Run:
    """One run."""
    chances = [rng.uniform(0.1, 0.5) for _ in range(world.tasks)]
    start = world.start(Round(rng, chances, (), 0.0))
    incumbent, held, spent = start, 0.0, UNSPENT
    false = found = naive = False
    for number in range(1, world.rounds + 1):
        gain = world.gain(number, held)
        scores = world.draw(Round(rng, chances, incumbent, gain))
        p, level = no_gain(incumbent, scores), spent.level(ALPHA)
        accepted, better = p <= level, gain > held
        false, naive = false or (accepted and not better), naive or (p <= ALPHA and not better)
        found = found or (accepted and number == world.wanted)
        spent = spent.after(level, accepted=accepted)
        if accepted:
            incumbent, held = scores, gain
    return Run(false, found, naive)


def units() -> list[str]:
    """Names of all units."""
    return [f"{name} #{block}" for name in WORLDS for block in range(BLOCKS)]


def work(unit: str) -> dict[str, JsonValue]:
    """Simulate the runs of a unit."""
    name, _, block = unit.rpartition(" #")
    runs = [simulated(WORLDS[name], random_for("gate honesty", name, block, i)) for i in range(RUNS)]
    return {
        "runs": RUNS,
        "false": sum(run.false for run in runs),
        "found": sum(run.found for run in runs),
        "naive": sum(run.naive for run in runs),
    }


def table(rows: Mapping[str, Mapping[str, JsonValue]]) -> list[str]:
    """Shares of runs, in Markdown."""
    lines = [
        "| runs of | runs | false acceptance | at 5 % each round | true gain found |",
        "|---|---|---|---|---|",
    ]
    for name, world in WORLDS.items():
        some = [row for unit, row in rows.items() if unit.rpartition(" #")[0] == name]
        if some:
            false, found, naive = (_share(some, key) for key in ("false", "found", "naive"))
            last = found if world.wanted else ""
            lines.append(
                f"| {name} | {sum(int(str(row['runs'])) for row in some)} | {false} | {naive} | {last} |"
            )
    return lines


def _share(rows: Sequence[Mapping[str, JsonValue]], key: str) -> str:
    hits, runs = (sum(int(str(row[name])) for row in rows) for name in (key, "runs"))
    return mean_interval([1.0] * hits + [0.0] * (runs - hits)).percent()
