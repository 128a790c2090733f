"""Trees that grow: nodes with visits and values, rules of selection, and how a value is backed up.

Everything here is pure but for `Growth`, which is one tree's state while it grows. Sources: UCT, Kocsis and
Szepesvari (2006); priors from a policy, Silver et al. (2017); step-wise back-up, arXiv 2405.00451.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from math import inf, log, sqrt
from typing import Any, Generic, NamedTuple, TypeVar

S = TypeVar("S")
Path = tuple[int, ...]
"""Which child, then which child of that one, ...; the root's is empty."""
DECIMALS = 4
"""Of priors and values: where they are equal, a batch's rounding must not decide where a tree grows."""


class Rule(StrEnum):
    """How a simulation chooses among children."""

    UCT = "uct"
    """Q + c sqrt(ln N / n); children that were never visited come first."""
    PUCT = "puct"
    """Q + c p sqrt(N) / (1 + n), with p the policy's probability of the step."""


class Backup(StrEnum):
    """What a node's Q is."""

    MEAN = "mean"
    """The mean value of the simulations that came through."""
    STEPWISE = "stepwise"
    """What the step adds to its parent's value, plus gamma times its children's Q, weighted by visits."""


class Child(NamedTuple, Generic[S]):
    """A possible next step."""

    state: S
    prior: float = 1.0
    """The policy's probability of the step, in [0, 1]."""
    tokens: int = 0
    """What it cost."""
    ended: bool = False
    """Whether nothing can follow."""


@dataclass
class Node(Generic[S]):
    """A state and what simulations found below it."""

    state: S
    parent: int | None = None
    depth: int = 0
    prior: float = 1.0
    tokens: int = 0
    ended: bool = False
    value: float = 0.0
    """What the state is held to be worth when it is first reached."""
    children: list[int] = field(default_factory=list)
    visits: int = 0
    total: float = 0.0
    """Sum of the values of the simulations that came through."""
    q: float = 0.0


class Growth(Generic[S]):
    """One tree while it grows; node 0 is the root."""

    def __init__(
        self, root: S, value: float = 0.0, *, backup: Backup = Backup.MEAN, gamma: float = 1.0
    ) -> None:
        """`value` is what the root is held to be worth."""
        self.nodes = [Node(root, value=value)]
        self._q = Q[backup]
        self._gamma = gamma

    @property
    def tokens(self) -> int:
        """Cost of all steps so far."""
        return sum(node.tokens for node in self.nodes)

    def path(self, number: int) -> Path:
        """Places among siblings from the root down to a node."""
        line = list(self.line(number))
        return tuple(self.nodes[above].children.index(below) for below, above in pairwise(line))[::-1]

    def line(self, number: int) -> Iterator[int]:
        """The node and all above it, upwards."""
        at: int | None = number
        while at is not None:
            yield at
            at = self.nodes[at].parent

    def add(self, parent: int, children: Sequence[Child[S]], values: Sequence[float]) -> None:
        """Hang children with their values below a node; without any, the node has ended."""
        above = self.nodes[parent]
        for child, value in zip(children, values, strict=True):
            above.children.append(len(self.nodes))
            node = Node(
                child.state,
                parent,
                above.depth + 1,
                round(child.prior, DECIMALS),
                child.tokens,
                child.ended,
                round(value, DECIMALS),
            )
            node.q = self._q(self, node, self._gamma)
            self.nodes.append(node)
        above.ended = above.ended or not children

    def choose(self, number: int, rule: Rule, weight: float) -> int:
        """The child that a simulation goes on to; the first of equals."""
        node, score = self.nodes[number], RULES[rule]
        return max(node.children, key=lambda child: score(node.visits, self.nodes[child], weight))

    def back_up(self, leaf: int) -> None:
        """Let a simulation that ended at a leaf count in every node above it."""
        worth = self.nodes[leaf].value
        for number in self.line(leaf):
            node = self.nodes[number]
            node.visits += 1
            node.total += worth
            node.q = self._q(self, node, self._gamma)


def uct(visits: int, child: Node[Any], weight: float) -> float:
    """Upper confidence bound of a child of a node with so many visits."""
    return child.q + weight * sqrt(log(visits) / child.visits) if child.visits else inf


def puct(visits: int, child: Node[Any], weight: float) -> float:
    """The same with a prior: unlikely children wait."""
    return child.q + weight * child.prior * sqrt(visits) / (1 + child.visits)


RULES: Mapping[Rule, Callable[[int, Node[Any], float], float]] = {Rule.UCT: uct, Rule.PUCT: puct}


def mean_q(growth: Growth[Any], node: Node[Any], gamma: float) -> float:
    """Mean value of the simulations; before the first one, the node's own value."""
    return node.total / node.visits if node.visits else node.value


def stepwise_q(growth: Growth[Any], node: Node[Any], gamma: float) -> float:
    """r + gamma V, with r the gain over the parent's value and V the children's Q by max(1, visits)."""
    gain = node.value - (growth.nodes[node.parent].value if node.parent is not None else 0.0)
    below = [growth.nodes[child] for child in node.children]
    weights = sum(max(1, child.visits) for child in below)
    return gain + gamma * sum(max(1, child.visits) * child.q for child in below) / max(1, weights)


Q: Mapping[Backup, Callable[[Growth[Any], Node[Any], float], float]] = {
    Backup.MEAN: mean_q,
    Backup.STEPWISE: stepwise_q,
}


class Choice(StrEnum):
    """How the next step of the walk is chosen, once a position has been searched."""

    VISITS = "visits"
    """The most visited child; of equals that of the higher Q."""
    VALUE = "value"
    """The child of the highest Q; of equals the most visited one."""
    DIVERSE = "diverse"
    """Visits times one more than the spread of visits among the child's own children (arXiv 2405.00451)."""


def next_step(growth: Growth[Any], number: int, choice: Choice) -> int:
    """The child that the walk goes on to; the first of equals."""

    def rank(place: int) -> tuple[float, float]:
        child = growth.nodes[place]
        match choice:
            case Choice.VISITS:
                return child.visits, child.q
            case Choice.VALUE:
                return child.q, child.visits
            case Choice.DIVERSE:
                below = [growth.nodes[one].visits for one in child.children] or [0]
                return child.visits * (1 + max(below) - min(below)), child.q

    return max(growth.nodes[number].children, key=rank)
