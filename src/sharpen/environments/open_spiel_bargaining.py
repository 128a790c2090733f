"""OpenSpiel's `bargaining`: two roles split a pool of three kinds of things that they value differently.

Observations, legal actions, turn order and returns are those of pyspiel; here they become texts, and a text
becomes an action only if it names a legal one. A role that is not seated asks for much at first and for less
later, by its own values alone.
"""

from __future__ import annotations

import copy
import random
import re
from typing import Any

from pydantic import Field, ValidationError

from sharpen.core.errors import BadInput
from sharpen.core.records import Record
from sharpen.core.task import Task
from sharpen.environments.base import Outcome, View

ROLES = ("first", "second")
INSTANCES = 1000
NUMBERS = re.compile(r"\d{1,2}")
ACCEPT = "ACCEPT"


class Deal(Record):
    """A task's hidden world."""

    instance: int = Field(ge=0, lt=INSTANCES)
    """Which of pyspiel's pools and values."""
    patience: float = Field(default=0.8, gt=0, le=1)
    """Share of its best result that a scripted role wants at first; it wants a tenth less every offer."""


def game() -> Any:
    """pyspiel's game; BadInput if the package is missing."""
    try:
        import pyspiel
    except ImportError:
        raise BadInput(
            "environment", "open_spiel_bargaining", "needs OpenSpiel", remedy="pip install 'sharpen[games]'"
        ) from None
    return pyspiel.load_game("bargaining")


def opened(instance: int) -> Any:
    """The state of an instance, after its chance move."""
    state = game().new_initial_state()
    state.apply_action(instance)
    return state


def private_view(state: Any, role: str) -> str:
    """Pool and own values, as pyspiel observes them for this role."""
    lines = state.observation_string(ROLES.index(role)).splitlines()
    return "\n".join(line for line in lines if line.startswith(("Pool:", "My values:")))


def start(task: Task, rng: random.Random) -> Split:
    """Open the game; BadInput for a task whose world or role does not fit."""
    try:
        deal = Deal.model_validate(task.world)
    except ValidationError as error:
        raise BadInput(
            "world", task.key, f"is no deal: {error.errors()[0]['msg']}", remedy="give an instance"
        ) from None
    if task.role not in ROLES:
        raise BadInput("role", task.role, "is not played here", remedy=f"one of: {', '.join(ROLES)}")
    return Split(opened(deal.instance), deal, task.role, rng)


class Split:
    """A running game."""

    def __init__(self, state: Any, deal: Deal, role: str, rng: random.Random) -> None:
        """`role` is the one whose points are the outcome's value."""
        self.state = state
        self.deal = deal
        self.role = role
        self.said: list[str] = []
        self.illegal = 0
        self._wrong = ""
        self._rng = rng

    def __deepcopy__(self, memo: dict[int, Any]) -> Split:
        """A copy that goes on by itself; pyspiel's states clone themselves."""
        other = Split(self.state.clone(), self.deal, self.role, copy.deepcopy(self._rng, memo))
        other.said, other.illegal, other._wrong = list(self.said), self.illegal, self._wrong
        return other

    @property
    def turn(self) -> str:
        """The role to move."""
        return ROLES[self.state.current_player()]

    def view(self) -> View | None:
        """The last offer, what was wrong with the own move, and how to answer."""
        if self.state.is_terminal():
            return None
        heard = self.said[-1] if self.said else "You begin."
        how = "Say how many of each you take, such as OFFER 1 0 2" + (", or ACCEPT." if self.said else ".")
        return View(self.turn, " ".join(part for part in (self._wrong, heard, how) if part))

    def move(self, text: str) -> None:
        """Play a legal action; after an illegal text the role asks for everything, which wastes its turn."""
        action = self._action(text)
        self._wrong = ""
        if action is None:
            action = self._offers()[-1][0]
            self.illegal += self.turn == self.role
            self._wrong = f"The move of {self.turn} was illegal and counts as an offer."
        self.said.append(f"{self.turn}: {self._text(action)}")
        self.state.apply_action(action)

    def _action(self, text: str) -> int | None:
        line = text.strip().split("\n", 1)[0][:100].upper()
        legal = dict(self._texts())
        if line.startswith(ACCEPT):
            return legal.get(ACCEPT)
        return legal.get(" ".join(["OFFER", *NUMBERS.findall(line)])) if line.startswith("OFFER") else None

    def _texts(self) -> list[tuple[str, int]]:
        return [(self._text(action), action) for action in self.state.legal_actions()]

    def _text(self, action: int) -> str:
        said = self.state.action_to_string(self.state.current_player(), action)
        return " ".join(["OFFER", *NUMBERS.findall(said)]) if said.startswith("Offer") else ACCEPT

    def _offers(self) -> list[tuple[int, tuple[int, ...]]]:
        """Legal offers with what they take of each kind, the one that takes all last."""
        found = [(action, _counts(text)) for text, action in self._texts() if text != ACCEPT]
        return sorted(found, key=lambda offer: sum(offer[1]))

    def scripted(self, role: str) -> str:
        """Ask for a share of the best result that falls with every own offer; accept what reaches it."""
        view = private_view(self.state, role)
        pool, values = (_counts(line) for line in view.splitlines())
        best = sum(count * value for count, value in zip(pool, values, strict=True))
        nth = sum(said.startswith(role) for said in self.said)
        wanted = best * max(0.3, self.deal.patience - 0.1 * nth)

        def worth(taken: tuple[int, ...]) -> int:
            return sum(count * value for count, value in zip(taken, values, strict=True))

        if self.said:
            rest = tuple(all_ - taken for all_, taken in zip(pool, _counts(self.said[-1]), strict=True))
            if worth(rest) >= wanted:
                return ACCEPT
        enough = [taken for _, taken in self._offers() if worth(taken) >= wanted]
        fewest = min(sum(taken) for taken in enough)
        chosen = self._rng.choice([taken for taken in enough if sum(taken) == fewest])
        return " ".join(["OFFER", *map(str, chosen)])

    def outcome(self) -> Outcome:
        """The judged role's points as a share of all it could have got."""
        place = ROLES.index(self.role)
        points = self.state.returns()[place]
        best = max(1, self._best(self.role))
        agreed = bool(self.said) and self.said[-1].endswith(ACCEPT)
        facts: dict[str, Any] = {"deal": int(agreed), "turns": len(self.said), "illegal": self.illegal}
        facts["surplus"] = points
        facts["dialogue"] = ", ".join(self.said)
        if agreed:
            facts["price"] = points
        return Outcome(value=min(1.0, max(0.0, points / best)), facts=facts)

    def _best(self, role: str) -> int:
        pool, values = (_counts(line) for line in private_view(self.state, role).splitlines())
        return sum(count * value for count, value in zip(pool, values, strict=True))


def _counts(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in NUMBERS.findall(text))
