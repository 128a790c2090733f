"""Searches over many trees at once: one batch of expansions and one of values per round.

What a tree becomes depends on its own root alone, so it does not matter how many grow together. Monte Carlo
tree search, beam search and best-of-n go through one interface, `World`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate, islice
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from pydantic import Field

from sharpen.core.records import Record
from sharpen.search.growth import Backup, Child, Choice, Growth, Node, Path, Rule, next_step

S = TypeVar("S")


class Leaf(NamedTuple):
    """A place where a tree may grow."""

    tree: str
    """Name of the tree: chance is keyed by it and the path."""
    path: Path


class World(Protocol[S]):
    """What is searched. States are opaque; results come in order, each depends on its leaf alone."""

    def expand(self, leaves: Sequence[tuple[Leaf, S]]) -> list[list[Child[S]]]:
        """Possible next steps of every leaf; none if nothing can follow after all."""

    def value(self, leaves: Sequence[tuple[Leaf, S]], ended: Sequence[bool]) -> list[float]:
        """What every state is held to be worth."""

    def most_tokens(self, depth: int) -> int:
        """The most that expanding a node of this depth can cost."""


class Reach(StrEnum):
    """How far a simulation goes."""

    LEAF = "leaf"
    """It expands one node and ends at one of its children."""
    END = "end"
    """It goes on expanding until nothing can follow."""


class Plan(StrEnum):
    """Where simulations start."""

    ONCE = "once"
    """At the root; the walk is chosen when they are over."""
    STEPWISE = "stepwise"
    """At the root, then at the child that is chosen, and so on to an end; the tree is used again."""


class Mcts(Record):
    """Monte Carlo tree search."""

    simulations: int = Field(default=16, ge=1)
    """Per position."""
    first: int = Field(default=1, ge=1)
    """The root gets so many times as many."""
    depth: int = Field(default=8, ge=1)
    """Steps from the root after which nothing is expanded any more."""
    tokens: int | None = Field(default=None, ge=0)
    """Most tokens that a tree's steps may have; nothing is expanded that could exceed it."""
    rule: Rule = Rule.PUCT
    weight: float = Field(default=1.0, ge=0)
    """Of exploration, in the rule."""
    backup: Backup = Backup.MEAN
    gamma: float = Field(default=1.0, gt=0, le=1)
    """Discount per step, with step-wise back-up."""
    reach: Reach = Reach.LEAF
    plan: Plan = Plan.ONCE
    choice: Choice = Choice.VISITS


class Beam(Record):
    """Beam search: the best few states of every depth are expanded. One step of depth 1 is best-of-n."""

    keep: int = Field(default=2, ge=1)
    """States that go on; states that have ended count among them."""
    depth: int = Field(default=8, ge=1)
    tokens: int | None = Field(default=None, ge=0)
    """Most tokens that a tree's steps may have."""


class Grown(NamedTuple):
    """A finished search: all nodes, and the chosen line through them from the root."""

    name: str
    nodes: Sequence[Node[Any]]
    walk: tuple[int, ...]
    simulations: int


@dataclass
class Climber(Generic[S]):
    """One tree and where its search stands."""

    name: str
    growth: Growth[S]
    settings: Mcts
    at: int = 0
    """The position that simulations start from."""
    cursor: int = 0
    """Where the running simulation is."""
    left: int = 0
    """Simulations left for the position."""
    done: int = 0
    walk: list[int] = field(default_factory=lambda: [0])

    def __post_init__(self) -> None:
        self.left = self.settings.simulations * self.settings.first

    def wanted(self, most: Sequence[int]) -> int | None:
        """Simulate until a node must be expanded; None when the search is over.

        most: for every depth, the most that an expansion can cost.
        """
        how, nodes = self.settings, self.growth.nodes
        while self.left or self._moved():
            while nodes[self.cursor].children:
                self.cursor = self.growth.choose(self.cursor, how.rule, how.weight)
            if self._open(nodes[self.cursor], most):
                return self.cursor
            self._finish()
        return None

    def _open(self, node: Node[S], most: Sequence[int]) -> bool:
        how = self.settings
        if node.ended or node.depth >= how.depth:
            return False
        return how.tokens is None or self.growth.tokens + most[node.depth] <= how.tokens

    def grown(self, children: Sequence[Child[S]], values: Sequence[float]) -> None:
        """Take up the children of the node that was wanted."""
        how = self.settings
        self.growth.add(self.cursor, children, values)
        if children:
            self.cursor = self.growth.choose(self.cursor, how.rule, how.weight)
        if how.reach is Reach.LEAF or not children:
            self._finish()

    def _finish(self) -> None:
        self.growth.back_up(self.cursor)
        self.left, self.done, self.cursor = self.left - 1, self.done + 1, self.at

    def _moved(self) -> bool:
        """Go on to the next position, if there is one that needs simulations."""
        nodes, how = self.growth.nodes, self.settings
        while nodes[self.walk[-1]].children:
            self.walk.append(next_step(self.growth, self.walk[-1], how.choice))
            here = nodes[self.walk[-1]]
            if how.plan is Plan.STEPWISE and not here.ended and here.depth < how.depth:
                self.at = self.cursor = self.walk[-1]
                self.left = how.simulations
                return True
        return False


def climb(world: World[S], roots: Sequence[tuple[str, S]], settings: Mcts, *, batch: int = 64) -> list[Grown]:
    """Search from every named root; at most `batch` trees grow together."""
    return [
        tree
        for start in range(0, len(roots), batch)
        for tree in _climbed(world, roots[start : start + batch], settings)
    ]


def _climbed(world: World[S], roots: Sequence[tuple[str, S]], settings: Mcts) -> list[Grown]:
    values = world.value([(Leaf(name, ()), state) for name, state in roots], [False] * len(roots))
    climbers = [
        Climber(name, Growth(state, value, backup=settings.backup, gamma=settings.gamma), settings)
        for (name, state), value in zip(roots, values, strict=True)
    ]
    most = [world.most_tokens(depth) for depth in range(settings.depth)]
    while growing := [(one, place) for one in climbers if (place := one.wanted(most)) is not None]:
        for (one, _), (children, worths) in zip(growing, _expanded(world, growing), strict=True):
            one.grown(children, worths)
    return [Grown(one.name, one.growth.nodes, tuple(one.walk), one.done) for one in climbers]


def _expanded(
    world: World[S], growing: Sequence[tuple[Climber[S] | Row[S], int]]
) -> list[tuple[list[Child[S]], list[float]]]:
    """Children of one node of each tree, with their values: a batch of each."""
    leaves = [
        (Leaf(one.name, one.growth.path(place)), one.growth.nodes[place].state) for one, place in growing
    ]
    families = world.expand(leaves)
    places = [
        (Leaf(leaf.tree, (*leaf.path, number)), child)
        for (leaf, _), family in zip(leaves, families, strict=True)
        for number, child in enumerate(family)
    ]
    asked = [(leaf, child.state) for leaf, child in places]
    values = iter(world.value(asked, [child.ended for _, child in places]) if asked else [])
    return [(family, [next(values) for _ in family]) for family in families]


@dataclass
class Row(Generic[S]):
    """One tree and the states of it that go on."""

    name: str
    growth: Growth[S]
    kept: list[int] = field(default_factory=lambda: [0])


def beam(world: World[S], roots: Sequence[tuple[str, S]], settings: Beam, *, batch: int = 64) -> list[Grown]:
    """Search from every named root; the walk leads to the best state that has ended."""
    found = []
    for start in range(0, len(roots), batch):
        rows = [Row(name, Growth(state)) for name, state in roots[start : start + batch]]
        most = [world.most_tokens(depth) for depth in range(settings.depth)]
        for _ in range(settings.depth):
            growing = [(row, place) for row in rows for place in _affordable(row, most, settings.tokens)]
            if not growing:
                break
            for (row, place), (children, values) in zip(growing, _expanded(world, growing), strict=True):
                row.growth.add(place, children, values)
            for row in rows:
                row.kept = _best(row, settings.keep)
        found += [_walked(row) for row in rows]
    return found


def _affordable(row: Row[S], most: Sequence[int], tokens: int | None) -> list[int]:
    """The kept states that may be expanded: all that have not ended, as far as the tokens surely last."""
    nodes = row.growth.nodes
    going = [place for place in row.kept if not nodes[place].ended and not nodes[place].children]
    if tokens is None:
        return going
    spent = accumulate((most[nodes[place].depth] for place in going), initial=row.growth.tokens)
    return [place for place, after in zip(going, islice(spent, 1, None), strict=True) if after <= tokens]


def _best(row: Row[S], keep: int) -> list[int]:
    nodes = row.growth.nodes
    fresh = [child for place in row.kept for child in nodes[place].children]
    going = [place for place in row.kept if not nodes[place].children]
    return sorted([*going, *fresh], key=lambda place: -nodes[place].value)[:keep]


def _walked(row: Row[S]) -> Grown:
    nodes = row.growth.nodes
    ends = [place for place in row.kept if nodes[place].ended]
    best = max(ends or row.kept, key=lambda place: nodes[place].value)
    return Grown(row.name, nodes, tuple(row.growth.line(best))[::-1], 0)


def searched(
    world: World[S], roots: Sequence[tuple[str, S]], how: Mcts | Beam, *, batch: int = 64
) -> list[Grown]:
    """Search from every named root in the way that the settings are of."""
    if isinstance(how, Mcts):
        return climb(world, roots, how, batch=batch)
    return beam(world, roots, how, batch=batch)
