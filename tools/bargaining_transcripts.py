"""Synthetic transcripts of bargaining in which advice changes how the player goes on.

A made-up player has a style of four numbers. Its temper spoils one of them; each piece of advice mends one,
or spoils it where nothing was wrong. A chain is several games of one player against one rival, each
remembered with the advice that was given after it, as `sharpen.environments.bargaining_coach` writes it down.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from sharpen.core.seeds import random_for
from sharpen.core.task import Task
from sharpen.environments.bargaining import BUYER, SELLER, Bargaining, start
from sharpen.environments.bargaining_coach import Advice, advice_on, remembered
from sharpen.tasks.bargaining import Temper, generate

EMPTY_WORDS = "Can you do better?"
TEMPERS = {"weak": 0.85, Temper.CALM.value: 0.1, "none": 0.05}
EARLIER_GAMES = (0.24, 0.24, 0.22, 0.16, 0.14)
"""Shares of chains with 0, 1, 2, ... games before the last."""
MOST_EARLIER = len(EARLIER_GAMES) - 1
UNADVISED = 0.5
"""Share of chains of the last stage in which nobody ever gives advice. Without them a model learns to play
better the more games it remembers, whatever was said of them."""


class Kind(StrEnum):
    """How the players of a set of transcripts treat advice."""

    FOLLOWS = "follows"
    DEAF = "deaf"
    """Styles change by advice drawn apart from the one that is told: nothing can be learnt from it."""


@dataclass(frozen=True)
class Style:
    """How a player bargains; positions are 1 at the own opening price and 0 at the rival's."""

    first: float = 0.95
    """Position of the first offer."""
    drop: float = 0.0
    """Concession from the first offer to the next."""
    step: float = 0.07
    """Concession with every later offer."""
    margin: float = 0.04
    """An offer so close to the next own one is accepted."""
    hold: int = 0
    """Offers after the first that repeat it."""
    threatens: bool = False
    """Walks away late in the game from an offer that does not beat the target."""
    halves: int = 0
    """How often it was told to split the difference."""

    def told(self, advice: str) -> Style:
        """The style after advice; words that are no advice change nothing."""
        calm = replace(self, threatens=False)
        match advice:
            case Advice.ANCHOR:
                return replace(calm, first=self.first + 0.27)
            case Advice.CONCEDE_LATE:
                drop = 0.4 * self.drop
                return replace(calm, drop=drop, hold=self.hold + (drop < 0.3))
            case Advice.HOLD_FIRM:
                return replace(calm, step=0.45 * self.step)
            case Advice.WALK_AWAY:
                return replace(calm, margin=0.4 * self.margin, threatens=True)
            case Advice.SPLIT:
                return replace(calm, halves=self.halves + 1)
        return calm


FAULTS = {
    Temper.MODEST: Style(first=0.42),
    Temper.GENEROUS: Style(step=0.26),
    Temper.HASTY: Style(drop=0.55),
    Temper.EAGER: Style(margin=0.75),
}


def born(temper: Temper | None, rng: random.Random) -> Style:
    """A player's own style: that of its temper, a little blurred."""
    style = Style() if temper is None else FAULTS.get(temper, Style())
    return replace(
        style,
        first=style.first + rng.gauss(0, 0.02),
        drop=style.drop * 2 ** rng.gauss(0, 0.12),
        step=style.step * 2 ** rng.gauss(0, 0.15),
        margin=style.margin + rng.gauss(0, 0.015),
    )


def move(game: Bargaining, style: Style, target: float | None) -> str:
    """The next move of a player of this style, who wants to beat the target price."""
    market, role = game.market, game.turn
    own_start, rival_start = (market.ask, market.bid) if role == SELLER else (market.bid, market.ask)
    span = own_start - rival_start
    own = (game.standing[role] - rival_start) / span
    offered = (game.standing[BUYER if role == SELLER else SELLER] - rival_start) / span
    nth, left = sum(said.role == role for said in game.said), market.moves - len(game.said) // 2
    wanted = max(0.0, min(own, _wanted(style, nth, own, offered)))
    if offered >= wanted - style.margin:
        return "ACCEPT"
    if style.threatens and nth >= 4 and target is not None and offered < (target - rival_start) / span:
        return "WALK"
    return "ACCEPT" if left == 1 else f"OFFER {round(rival_start + wanted * span)}"


def _wanted(style: Style, nth: int, own: float, offered: float) -> float:
    """Where the next offer lies."""
    if nth == 0:
        return min(1.0, style.first)
    if nth <= style.hold:
        return own
    ahead = own - (max(style.drop, style.step) if nth == 1 + style.hold else style.step)
    if style.halves and nth >= 2:
        return min(ahead, own - (own - offered) * (0.5 if style.halves == 1 else 0.7))
    return ahead


class Exchange(NamedTuple):
    """What a player was shown, and its move."""

    shown: str
    move: str


class Transcript(NamedTuple):
    """The last game of a chain as the player meets it."""

    opening: str
    """Rules and private view, with the earlier games."""
    exchanges: tuple[Exchange, ...]
    role: str


def play(
    task: Task, style: Style, target: float | None, rng: random.Random
) -> tuple[list[Exchange], Bargaining]:
    """One game of a player of this style against the scripted rival."""
    game, exchanges = start(task, rng), []
    while (view := game.view()) is not None:
        if view.role == task.role:
            exchanges.append(Exchange(view.text, move(game, style, target)))
            game.move(exchanges[-1].move)
        else:
            game.move(game.scripted(view.role))
    return exchanges, game


def transcript(kind: Kind, most: int, unadvised: float, *key: object) -> Transcript:
    """The chain of this key with at most so many earlier games; it ends early with a game without a deal.

    `unadvised` is the probability that it has no advice at all.
    """
    rng = random_for("bargaining transcript", *key)
    task = generate(rng, role=_role(rng), temper=rng.choices(list(TEMPERS), list(TEMPERS.values()))[0])
    view = task.views[task.role]
    style = born(next((t for t in Temper if f"You are {t}." in view), None), rng)
    exchanges, game = play(task, style, None, rng)
    earlier = rng.choices(range(len(EARLIER_GAMES)), EARLIER_GAMES)[0]
    empty = rng.choice(("", EMPTY_WORDS)) if rng.random() < unadvised else None
    for number in range(1, 1 + min(earlier, most)):
        if game.price is None:
            break
        dialogue, target = str(game.outcome().facts["dialogue"]), game.price
        told, other = _words(rng, task, dialogue), _words(rng, task, dialogue)
        style = style if empty is not None else style.told(told if kind is Kind.FOLLOWS else other)
        told = told if empty is None else empty
        view = f"{view}\n{remembered(number, task.role, dialogue, target, told)}"
        exchanges, game = play(task, style, target, rng)
    return Transcript(f"{task.question}\n{view}", tuple(exchanges), task.role)


def _role(rng: random.Random) -> str:
    return SELLER if rng.random() < 0.6 else BUYER


def _words(rng: random.Random, task: Task, dialogue: str) -> str:
    """What is said after a game: the coach's advice, some other, empty words or nothing."""
    draw = rng.random()
    if draw < 0.45:
        return advice_on(task, dialogue)
    if draw < 0.8:
        return rng.choice(list(Advice))
    return EMPTY_WORDS if draw < 0.9 else ""
