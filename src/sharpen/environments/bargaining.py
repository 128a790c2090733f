"""Two roles bargain over the price of one item; what the item is worth to each is its own secret.

The seller has asked a price and the buyer has offered one. They move in turn, the seller first, each with
`OFFER price`, `ACCEPT` or `WALK`. An offer lies between the two openings and never goes back on the own
last one. An illegal move is a wasted one, and the role is told why. A role that is not seated follows a
concession curve of its own: it gives way towards a limit that nobody else knows, loses patience, and walks
out on someone who does not move at all.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import Field, ValidationError

from sharpen.core.errors import BadInput
from sharpen.core.records import Record
from sharpen.core.task import Task
from sharpen.environments.base import Outcome, View

SELLER, BUYER = "seller", "buyer"
MOVE = re.compile(r"(?:(ACCEPT|WALK)|OFFER +\$?([0-9]{1,6}))\.?", re.IGNORECASE)
SIGN = {SELLER: 1, BUYER: -1}
"""Which way a role wants the price to go."""


class Curve(Record):
    """How a role plays that nobody is seated at."""

    shape: float = Field(default=1.0, gt=0)
    """Power of the curve: above 1 it gives way late, below 1 early."""
    patience: int = Field(default=6, ge=1)
    """Moves after which it walks."""
    nerve: int = Field(default=3, ge=1)
    """So many moves of the other side without a concession make it walk."""


class Market(Record):
    """A task's hidden world: prices are whole numbers."""

    cost: int
    """What the item is worth to the seller; its scripted player never sells below."""
    value: int
    """What the item is worth to the buyer; its scripted player never pays more."""
    ask: int
    """The seller's opening price."""
    bid: int
    """The buyer's opening price."""
    moves: int = Field(default=8, ge=1)
    """Moves each role has."""
    curves: Mapping[str, Curve] = {SELLER: Curve(), BUYER: Curve()}


class Said(NamedTuple):
    """A move as it counted."""

    role: str
    text: str
    why: str = ""
    """Why it was illegal; empty for a legal one."""


def start(task: Task, rng: random.Random) -> Bargaining:
    """Open the game; BadInput for a task whose world is not a market."""
    try:
        market = Market.model_validate(task.world)
    except ValidationError as error:
        raise BadInput(
            "world",
            task.key,
            f"is no market: {error.errors()[0]['msg']}",
            remedy="see environments/bargaining.py",
        ) from None
    if not (market.bid < market.ask and market.cost < market.value and task.role in SIGN):
        raise BadInput("world", task.key, "prices or role make no game", remedy="bid < ask, cost < value")
    return Bargaining(market, task.role, rng)


class Bargaining:
    """A running game."""

    def __init__(self, market: Market, role: str, rng: random.Random) -> None:
        """`role` is the one whose surplus is the outcome's value."""
        self.market = market
        self.role = role
        self.standing = {SELLER: market.ask, BUYER: market.bid}
        """Last legal offer of each role."""
        self.said: list[Said] = []
        self.price: int | None = None
        self.over = False
        self._rng = rng

    @property
    def turn(self) -> str:
        """The role to move."""
        return BUYER if len(self.said) % 2 else SELLER

    def view(self) -> View | None:
        """The rival's last move, what was wrong with the own one, and the moves left."""
        if self.over:
            return None
        role = self.turn
        left = self.market.moves - len(self.said) // 2
        heard = [_heard(said, role) for said in self.said[-2:]]
        news = " ".join(part for part in heard if part) or "Your move"
        return View(role, f"{news}, {left} left")

    def move(self, text: str) -> None:
        """Play a move of the role whose turn it is."""
        role, rival = self.turn, _other(self.turn)
        kind, price, why = self._parse(role, text)
        self.said.append(Said(role, f"{kind} {price}" if kind == "OFFER" else kind, why))
        if not why:
            self._play(role, rival, kind, price)
        self.over = self.over or len(self.said) >= 2 * self.market.moves

    def _play(self, role: str, rival: str, kind: str, price: int) -> None:
        if kind == "OFFER":
            self.standing[role] = price
        else:
            self.over = True
            self.price = self.standing[rival] if kind == "ACCEPT" else None

    def _parse(self, role: str, text: str) -> tuple[str, int, str]:
        """Kind, price and what is illegal about a move."""
        found = MOVE.fullmatch(text.strip().split("\n", 1)[0].strip())
        if found is None:
            return "NOTHING", 0, "a move is OFFER price, ACCEPT or WALK"
        if found[1]:
            return found[1].upper(), 0, ""
        price, own = int(found[2]), self.standing[role]
        if not self.market.bid <= price <= self.market.ask:
            return "NOTHING", 0, f"offers lie from {self.market.bid} to {self.market.ask}"
        back = (price - own) * SIGN[role] > 0
        return ("NOTHING", 0, f"you were at {own} already") if back else ("OFFER", price, "")

    def scripted(self, role: str) -> str:
        """The next move on the role's concession curve."""
        curve, rival = self.market.curves[role], _other(role)
        nth = sum(said.role == role for said in self.said) + 1
        planned, sign = self._planned(role, nth), SIGN[role]
        if (self.standing[rival] - planned) * sign >= 0:
            return "ACCEPT"
        if nth >= curve.patience or self._unmoved(rival) >= curve.nerve:
            return "WALK"
        return f"OFFER {planned}"

    def _planned(self, role: str, nth: int) -> int:
        """The price that the curve comes to at the nth move, give or take 1, never past the limit."""
        curve, sign = self.market.curves[role], SIGN[role]
        first, limit = (
            (self.market.ask, self.market.cost) if role == SELLER else (self.market.bid, self.market.value)
        )
        share: float = min(1.0, nth / curve.patience) ** curve.shape
        price = round(first + (limit - first) * share) + self._rng.randint(-1, 1)
        price = max(limit * sign, price * sign) * sign
        return min(self.standing[role] * sign, price * sign) * sign

    def _unmoved(self, role: str) -> int:
        """Legal offers of a role, counted from the last, that repeat the one before."""
        first = self.market.ask if role == SELLER else self.market.bid
        prices = [
            first,
            *(int(s.text[6:]) for s in self.said if s.role == role and s.text.startswith("OFFER")),
        ]
        count = 0
        while count + 1 < len(prices) and prices[-1 - count] == prices[-2 - count]:
            count += 1
        return count

    def outcome(self) -> Outcome:
        """Share of what there was to gain that the judged role got; 0 without a deal or with a loss."""
        facts: dict[str, Any] = {"deal": int(self.price is not None), "turns": len(self.said)}
        facts["illegal"] = sum(bool(said.why) for said in self.said if said.role == self.role)
        gains = self.gains()
        facts["surplus"] = gains[self.role]
        facts["dialogue"] = ", ".join(f"{said.role} {said.text.removeprefix('OFFER ')}" for said in self.said)
        if self.price is not None:
            facts["price"] = self.price
        share = gains[self.role] / (self.market.value - self.market.cost)
        return Outcome(value=min(1.0, max(0.0, share)), facts=facts)

    def gains(self) -> dict[str, int]:
        """What each role earned, in money; both together share value - cost, or nothing."""
        if self.price is None:
            return {SELLER: 0, BUYER: 0}
        return {SELLER: self.price - self.market.cost, BUYER: self.market.value - self.price}


def _other(role: str) -> str:
    return BUYER if role == SELLER else SELLER


def _heard(said: Said, role: str) -> str:
    """What a role hears of a move: its own only if it was illegal."""
    if said.role != role:
        return f"{said.role}: {said.text}"
    return f"Illegal: {said.why}." if said.why else ""
