"""Made-up leagues: tasks of different difficulty, seeds that luck was kind to, and answers drawn anew."""

from __future__ import annotations

import numpy as np

from sharpen.core.league import League, Scores, league


def made_up(
    number: int,
    *,
    seeds: int = 5,
    tasks: int = 60,
    methods: int = 4,
    of_seeds: float = 0.02,
    of_tasks: float = 1.5,
    gain: float = 0.0,
    greedy_control: bool = False,
) -> tuple[dict[str, Scores], dict[str, Scores]]:
    """Scores of methods and controls that are all alike, but for the first method's gain.

    Chances of a right answer are 0.4 for the middling task; `of_tasks` is the spread of log-odds between
    tasks, `of_seeds` that of chances between runs. A greedy control answers every seed in the same way.
    """
    rng = np.random.default_rng(number)
    chances = 1 / (1 + np.exp(0.4 - rng.normal(0, of_tasks, tasks)))

    def arm(more: float = 0.0) -> Scores:
        lucky = rng.normal(0, of_seeds, (seeds, 1))
        right = rng.random((seeds, tasks)) < np.clip(chances + more + lucky, 0.01, 0.99)
        rows: list[list[float]] = right.astype(float).tolist()
        return rows

    controls = {"no update": arm(), "more samples": arm()}
    if greedy_control:
        controls["no update"] = [controls["no update"][0]] * seeds
    return {f"method {i}": arm(gain * (i == 0)) for i in range(methods)}, controls


def declares_anything(found: League) -> bool:
    """Whether any difference is claimed: to a control, between arms, or by rank."""
    claims = (*found.against.values(), *found.pairs.values())
    return any(claim.clear for claim in claims) or len(set(found.ranks.values())) > 1


def false_alarms(count: int, **shape: float) -> int:
    """Of so many leagues of equal arms, those in which a difference is declared."""
    return sum(declares_anything(league(*made_up(number, **shape))) for number in range(count))  # type: ignore[arg-type]
