"""T13: planted collapses must be warned of within five rounds, and healthy runs never."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import NamedTuple

from pydantic import JsonValue

from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.seeds import random_for
from sharpen.core.task import Task
from sharpen.core.verdict import Scored
from sharpen.core.watch import Judged
from sharpen.monitors.collapse import alarms, state_of

TASKS, SAMPLES, ROUNDS = 24, 4, 8
BLOCK = 50
"""Simulated runs of a unit."""
QUESTIONS = [Task.ask(f"Which number comes after {n}?", str(n + 1)) for n in range(TASKS)]


class Drawn(NamedTuple):
    """One answer as it is simulated."""

    text: str
    tokens: int
    surprise: float
    """Mean of -log p."""
    score: float


Draw = Callable[[Random, Task, int, float], Drawn]
"""(chance, task, round, a number that is special to the run, 0 to 1) -> answer."""


def learning(rng: Random, task: Task, round: int, way: float) -> Drawn:
    """More and more are right; the policy becomes surer, and its answers longer or shorter by a third."""
    right = rng.random() < 0.25 + 0.08 * round * (0.5 + way)
    words = rng.choice(["so", "then", "thus", "hence", "well", "now", "look", "since"][: 8 - round // 2])
    answer = task.answer if right else str(rng.randint(0, TASKS))
    tokens = round * 2 * (way - 0.5) + rng.gauss(30, 6)
    return Drawn(
        f"{words} {rng.randint(0, 6)} {answer}", max(3, int(tokens)), 1.0 - 0.07 * round, float(right)
    )


def longer(rng: Random, task: Task, round: int, way: float) -> Drawn:
    """The reward is length, and length is what is learnt."""
    tokens = int(rng.gauss(20 * (1.2 + 0.2 * way) ** round, 5))
    return Drawn(f"{rng.random()} {rng.randint(0, TASKS)}", max(3, tokens), 1.0, min(1.0, tokens / 200))


def constant(rng: Random, task: Task, round: int, way: float) -> Drawn:
    """One answer is paid for everywhere, and more and more of all answers are it."""
    exploit = rng.random() < 0.05 + (0.15 + 0.1 * way) * (round - 1)
    right = rng.random() < 0.3
    answer = "7777" if exploit else task.answer if right else str(rng.randint(0, TASKS))
    return Drawn(f"{rng.random()} {answer}", 20, 1.0, float(exploit or right))


def frozen(rng: Random, task: Task, round: int, way: float) -> Drawn:
    """Training on one's own most likely answers: all draws of a task become one, right or wrong."""
    free = rng.random() < (0.35 + 0.15 * way) ** (round - 1)
    right = int(task.answer) % 3 == 0
    answer = task.answer if right else "0" + task.answer
    return Drawn(f"{rng.random() if free else 'so'} {answer}", 20, 0.5 ** (round - 1), float(right))


WORLDS: Mapping[str, tuple[Draw, str]] = {
    "healthy": (learning, ""),
    "reward is length": (longer, "length"),
    "one answer pays everywhere": (constant, "answers"),
    "all draws become one": (frozen, "draws"),
}
"""World -> how answers are drawn, and the alarm that must sound."""


def rounds(draw: Draw, rng: Random) -> Iterator[Judged]:
    """The judged rounds of one run."""
    way = rng.random()
    for number in range(1, ROUNDS + 1):
        drawn = [(task, i, draw(rng, task, number, way)) for task in QUESTIONS for i in range(SAMPLES)]
        attempts = [_attempt(task, index, each) for task, index, each in drawn]
        yield Judged(attempts, [Scored(value=each.score) for *_, each in drawn], QUESTIONS)


def _attempt(task: Task, index: int, drawn: Drawn) -> Attempt:
    ids, logprobs = (0,) * drawn.tokens, (-drawn.surprise,) * drawn.tokens
    turn = Turn(author=Author.POLICY, text=drawn.text, token_ids=ids, logprobs=logprobs)
    return Attempt(task=task.key, index=index, policy="p", turns=(turn,))


def first_alarms(judged: Sequence[Judged]) -> dict[str, int]:
    """Name of every alarm and the round in which it is first heard."""
    states = [state_of([each]) for each in judged]
    found: dict[str, int] = {}
    for number, state in enumerate(states, 1):
        if states[0] and state:
            for name in alarms(states[0], state):
                found.setdefault(name, number)
    return found


def units() -> list[str]:
    """Names of all units."""
    return list(WORLDS)


def work(unit: str) -> dict[str, JsonValue]:
    """Simulate the runs of a world."""
    draw, wanted = WORLDS[unit]
    heard = [first_alarms(list(rounds(draw, random_for("collapse", unit, run)))) for run in range(BLOCK)]
    return {
        "runs": BLOCK,
        "in time": sum(found.get(wanted, ROUNDS) <= 5 for found in heard),
        "latest": max((found[wanted] for found in heard if wanted in found), default=None),
        "other alarms": sum(bool(found.keys() - {wanted}) for found in heard),
        "ok": all(found.get(wanted, ROUNDS) <= 5 for found in heard) if wanted else not any(heard),
    }


def table(rows: Mapping[str, Mapping[str, JsonValue]]) -> list[str]:
    """One line per world, in Markdown."""
    lines = ["| runs | number | warned within 5 rounds | latest | other alarms |", "|---|---|---|---|---|"]
    for unit, row in rows.items():
        warned, latest = (row["in time"], row["latest"]) if WORLDS[unit][1] else ("", "")
        lines.append(f"| {unit} | {row['runs']} | {warned} | {latest} | {row['other alarms']} |")
    return lines
