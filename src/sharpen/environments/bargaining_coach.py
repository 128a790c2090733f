"""What a coach says after a game of bargaining, by rules alone: the costliest fault, and what mends it.

It reads the public dialogue, as everybody at the table heard it, and knows nobody's limit or temper.
"""

from __future__ import annotations

import re
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from sharpen.core.errors import BadInput
from sharpen.core.task import Task
from sharpen.environments.bargaining import BUYER, SELLER, Market

SPOKEN = re.compile(rf"({SELLER}|{BUYER}) (\d{{1,6}}|ACCEPT|WALK|NOTHING)")
SMALL = 0.16
"""Share of the span between the openings below which nothing is worth a remark."""


class Advice(StrEnum):
    """The sentences of the coach. They name no price, and fit any later game."""

    ANCHOR = "Anchor high: begin near your own opening price."
    CONCEDE_LATE = "Concede late: do not give way so soon."
    HOLD_FIRM = "Hold firm: give way in smaller steps."
    WALK_AWAY = "Be ready to walk away: do not accept so soon."
    SPLIT = "Split the difference: meet them half way."
    KEEP = "Well played: keep to it."


class Faults(NamedTuple):
    """What was given away where, as shares of the span between the opening prices."""

    first: float
    """From the own opening to the first offer."""
    second: float
    """From the first offer to the second."""
    later: float
    """The largest concession after that."""
    accepted: float
    """From the last offer to the price that was accepted."""
    last_moment: bool
    """The deal came with the very last moves."""


def told(dialogue: str, role: str) -> list[str]:
    """Moves of one role in a dialogue such as `seller 90, buyer 52, seller ACCEPT`."""
    spoken = SPOKEN.findall(dialogue)
    if not spoken:
        raise BadInput(
            "dialogue", dialogue[:60], "is no bargaining over a price", remedy="let a model be the critic"
        )
    return [what for who, what in spoken if who == role]


def faults(dialogue: str, role: str, *, ask: int, bid: int, moves: int) -> Faults:
    """What a role gave away in a finished game; `moves` is how many each role had."""
    rival = SELLER if role == BUYER else BUYER
    own, other = told(dialogue, role), told(dialogue, rival)
    start = ask if role == SELLER else bid
    offers = [start, *(int(move) for move in own if move.isdigit())]
    given = [abs(before - after) / (ask - bid) for before, after in pairwise(offers)]
    heard = [int(move) for move in other if move.isdigit()]
    gap = abs(offers[-1] - heard[-1]) / (ask - bid) if heard and own[-1:] == ["ACCEPT"] else 0.0
    padded = [*given, 0.0, 0.0, 0.0]
    return Faults(padded[0], padded[1], max(padded[2:]), gap, max(len(own), len(other)) >= moves)


def advice(found: Faults) -> Advice:
    """One piece of advice on the costliest fault; later steps come several times, so they count double."""
    costs = {
        Advice.ANCHOR: found.first,
        Advice.CONCEDE_LATE: found.second,
        Advice.HOLD_FIRM: 2 * found.later,
        Advice.WALK_AWAY: found.accepted,
    }
    worst = max(costs, key=costs.__getitem__)
    if costs[worst] > SMALL:
        return worst
    return Advice.SPLIT if found.last_moment else Advice.KEEP


def advice_on(task: Task, dialogue: str) -> Advice:
    """Advice for the task's role after this dialogue; of the world only what is public is looked at."""
    world = Market.model_validate(task.world)
    return advice(faults(dialogue, task.role, ask=world.ask, bid=world.bid, moves=world.moves))


def remembered(number: int, role: str, dialogue: str, price: float, said: str) -> str:
    """A finished game as a player remembers it: the moves, what was said of it, the price to beat."""
    target = f"Sell above {price:g}." if role == SELLER else f"Buy below {price:g}."
    return " ".join(part for part in (f"Game {number}: {dialogue}.", said, target) if part)
