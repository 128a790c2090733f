"""Splitting a pool of books, hats and balls with a rival who values them differently (OpenSpiel).

Needs the extra `games`. What the things are worth to a role stands in its private view alone.
"""

from __future__ import annotations

import random

from sharpen.core.errors import BadInput
from sharpen.core.task import Message, Role, Task
from sharpen.environments.open_spiel_bargaining import INSTANCES, ROLES, Deal, opened, private_view

VERIFIER = "outcome"
ACTOR = "episodes"


def generate(rng: random.Random, *, role: str = "first", patience: float = 0.8) -> Task:
    """Draw a game. `role`: first, second or any; `patience`: how much the rival wants at first, up to 1."""
    if role not in (*ROLES, "any"):
        raise BadInput("role", role, "is not known", remedy=f"one of: {', '.join(ROLES)}, any")
    if not 0.3 <= patience <= 1:
        raise BadInput("patience", patience, "is outside 0.3 to 1", remedy="give a share such as 0.8")
    seat = rng.choice(ROLES) if role == "any" else role
    deal = Deal(instance=rng.randrange(INSTANCES), patience=patience)
    state = opened(deal.instance)
    question = (
        f"Game {deal.instance}: two players split a pool of books, hats and basketballs. In turn each offers "
        "what it would take, and the other gets the rest once it accepts. Without a deal both get nothing."
    )
    return Task(
        messages=(Message(role=Role.USER, content=question),),
        answer="",
        environment="open_spiel_bargaining",
        world=deal.model_dump(mode="json"),
        role=seat,
        views={name: f"You move {name}.\n{private_view(state, name)}" for name in ROLES},
    )
