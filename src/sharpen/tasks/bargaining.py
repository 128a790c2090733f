"""Bargaining over the price of one item against a rival with a hidden limit.

The opening prices are public; what the item is worth to the policy's role, and that role's temper, stand in
its private view. Each temper has a weakness of its own that costs money, so players need different advice.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TypeVar

from sharpen.core.errors import BadInput
from sharpen.core.task import Message, Role, Task
from sharpen.environments.bargaining import BUYER, SELLER, Curve, Market

VERIFIER = "outcome"
ACTOR = "episodes"
T = TypeVar("T")
ROLES = (SELLER, BUYER)
ITEMS = ("lamp", "bicycle", "guitar", "clock", "tent", "camera", "kettle", "mirror", "drill", "kayak")


class Temper(StrEnum):
    """How a player is by nature."""

    MODEST = "modest"
    """Begins far below what could be asked."""
    GENEROUS = "generous"
    """Gives way in large steps."""
    HASTY = "hasty"
    """Gives way much too early."""
    EAGER = "eager"
    """Accepts the first offer that comes near."""
    CALM = "calm"
    """None of these."""


WEAK = (Temper.MODEST, Temper.GENEROUS, Temper.HASTY, Temper.EAGER)


def generate(rng: random.Random, *, role: str = "seller", temper: str = "weak", moves: int = 8) -> Task:
    """Draw a game. `role`: seller, buyer or any. `temper`: a name, `weak` (any but calm) or `none`."""
    seat = _one_of(rng, "role", role, {"any": ROLES, **{name: (name,) for name in ROLES}})
    tempers = {"weak": WEAK, "none": (None,), **{name.value: (name,) for name in Temper}}
    nature = _one_of(rng, "temper", temper, tempers)
    if moves < 2:
        raise BadInput("moves", moves, "is too few to bargain", remedy="give 2 or more")
    item, market = rng.choice(ITEMS), draw_market(rng, seat, moves)
    return Task(
        messages=(Message(role=Role.USER, content=rules(item, market)),),
        answer="",
        environment="bargaining",
        world=market.model_dump(mode="json"),
        role=seat,
        views={
            SELLER: view(SELLER, f"The {item} costs you {market.cost}: sell it high.", nature, seat),
            BUYER: view(BUYER, f"The {item} is worth {market.value} to you: buy it low.", nature, seat),
        },
    )


def _one_of(rng: random.Random, dial: str, name: str, choices: Mapping[str, Sequence[T]]) -> T:
    if name not in choices:
        raise BadInput(dial, name, "is not known", remedy=f"one of: {', '.join(choices)}")
    return rng.choice(choices[name])


def rules(item: str, market: Market) -> str:
    """What both roles are told."""
    return (
        f"A seller and a buyer bargain over a {item}. A move is one line: OFFER price, ACCEPT or WALK. "
        f"The seller asked {market.ask}, the buyer offered {market.bid}. Without a deal both get nothing."
    )


def view(role: str, worth: str, nature: Temper | None, seat: str) -> str:
    """What one role is told in private."""
    temper = f" You are {nature}." if nature and role == seat else ""
    return f"You are the {role}. {worth}{temper}"


def draw_market(rng: random.Random, role: str, moves: int) -> Market:
    """Openings about 50 apart. Up to 90 percent of that is to be gained from the rival, often less."""
    bid, gap = rng.randint(40, 60), rng.randint(44, 56)
    ask, room, spare = bid + gap, rng.uniform(0.6, 0.95), rng.randint(0, 3)
    curve = Curve(
        shape=round(rng.uniform(0.8, 1.6), 2), patience=rng.randint(moves - 2, moves), nerve=rng.randint(2, 3)
    )
    limits = (
        {"cost": bid - spare, "value": bid + round(room * gap)}
        if role == SELLER
        else {"cost": ask - round(room * gap), "value": ask + spare}
    )
    return Market(ask=ask, bid=bid, moves=moves, curves={SELLER: curve, BUYER: curve}, **limits)
