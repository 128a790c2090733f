"""Families of questions, each with a hidden rule that only right and wrong answers tell.

A question names a family and two things: `zor K7 M2`. The source of knowledge holds what the things
measure (`K7=4`). The family's rule says what to make of the two numbers: `sum` of 4 and 9 gives `13`.
Nothing states the rule; a policy has to guess it, and may write down what worked in its memory.

Rules: sum, gap (the difference), max, min, cat (the digits in the order of the question), tac (in reverse).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sharpen.core.task import Task
from sharpen.environments.base import Hit
from sharpen.environments.tools import Action, Tag, ToolEpisode

OPERATIONS: Mapping[str, Callable[[int, int], object]] = {
    "sum": lambda a, b: a + b,
    "gap": lambda a, b: abs(a - b),
    "max": max,
    "min": min,
    "cat": lambda a, b: f"{a}{b}",
    "tac": lambda a, b: f"{b}{a}",
}
RULES = tuple(OPERATIONS)
NAMES = tuple(
    re.findall(
        "...",
        "bambelbikbofdagdevdordulfenfipfodfumgalgipgomkavkelkidkunlamleplodlugmekmip"
        "movnadnelnoppagpimpovpudralrekrinrudsabseksiltamteptogtuvvamvekvolzepzorzun",
    )
)
"""Of families."""
NOT = "not"
_GUIDE = re.compile(r"\+(\d\d) (\w+) (?:.* think )?(\w+)(?: ans \S+)?$")
"""Score, family and rule, in a principle or in the log of an attempt."""
_CAUTION = re.compile(rf"-\d\d (\w+) {NOT} (\w+)$")
_FACT = re.compile(r"(\w+)=(\d+)")


def apply(rule: str, first: int, second: int) -> str:
    """What a rule makes of two numbers."""
    return str(OPERATIONS[rule](first, second))


@dataclass
class Facts:
    """A table of facts, searched by name."""

    values: Mapping[str, int]

    def search(self, query: str) -> Sequence[Hit]:
        """The facts whose names the query holds, at most four."""
        named_ones = [name for name in dict.fromkeys(query.split()) if name in self.values]
        return [Hit(name, f"{name}={self.values[name]}") for name in named_ones[:4]]


@dataclass
class Player:
    """Asks its memory or not, asks for the facts, then follows the best advice or guesses."""

    family: str
    things: str
    plan: tuple[Tag, ...]

    def __call__(self, episode: ToolEpisode) -> Action:
        """The next move; after its plan it answers."""
        done = len(episode.actions)
        if done < len(self.plan):
            tag = self.plan[done]
            return Action(tag, self.family if tag is Tag.MEMORY else self.things)
        values = dict(_FACT.findall(" ".join(hit.text for hit in episode.facts)))
        rule = advised(self.family, [hit.text for hit in episode.hits], episode.rng)
        first, second = (int(values.get(thing, 0)) for thing in self.things.split())
        return Action(Tag.ANSWER, apply(rule, first, second), (rule,))


def advised(family: str, lines: Sequence[str], rng: random.Random) -> str:
    """The rule that the best-scored guide for the family names, else one that nothing warns of."""
    guides = [found.groups() for line in lines if (found := _GUIDE.search(line))]
    known = [(-int(score), rule) for score, name, rule in guides if name == family and rule in RULES]
    if known:
        return min(known)[1]
    warned = {rule for line in lines for name, rule in _CAUTION.findall(line) if name == family}
    return rng.choice([rule for rule in RULES if rule not in warned] or RULES)


def start(task: Task, rng: random.Random) -> ToolEpisode:
    """Start an episode; `task.world` holds `family`, `things` and `facts` (name -> number)."""
    world: Any = task.world
    plans = ((Tag.KNOWLEDGE,), (Tag.MEMORY, Tag.KNOWLEDGE))
    return ToolEpisode(
        role=task.role,
        question=task.question,
        knowledge=Facts(world["facts"]),
        right=lambda answer: answer.casefold() == task.answer,
        player=Player(world["family"], " ".join(world["things"]), rng.choice(plans)),
        rng=rng,
    )
