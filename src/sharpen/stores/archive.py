"""Archives of candidates: nothing is ever dropped, every node knows its parent, its patch and its scores.

A score says on which split it was taken and over how many tasks. Scores that differ in that are refused to be
compared; a sample's score is made comparable only by counting the tasks that were left out as failed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, Self

from pydantic import Field

from sharpen.core.errors import BadInput
from sharpen.core.policy import Policy
from sharpen.core.records import Record
from sharpen.core.task import Split


class Extent(StrEnum):
    """How much of a split was tried."""

    SAMPLE = "sample"
    FULL = "full"


class Score(Record):
    """Mean scores by domain on a split; a plain task set is one domain."""

    split: Split
    extent: Extent
    domains: Mapping[str, float]
    sizes: Mapping[str, int]
    """Tasks tried, by domain."""

    @property
    def mean(self) -> float:
        """Mean over domains."""
        return sum(self.domains.values()) / len(self.domains)

    @property
    def scope(self) -> tuple[str, str, tuple[tuple[str, int], ...]]:
        """What two scores must share to be compared."""
        return self.split, self.extent, tuple(sorted(self.sizes.items()))

    def above(self, other: Score) -> bool:
        """Whether it is the better one; BadInput if the two were taken on different tasks."""
        if self.scope != other.scope:
            problem = f"cannot be compared with a score on {other.scope}"
            raise BadInput("score", self.scope, problem, remedy="take both on the same tasks")
        return self.mean > other.mean

    def counted_in(self, sizes: Mapping[str, int]) -> float:
        """Mean over domains with every task that was not tried counted as failed."""
        shares = (self.domains[name] * self.sizes[name] / sizes[name] for name in sorted(self.domains))
        return sum(shares) / len(self.domains)


class Flag(StrEnum):
    """What is wrong with a node."""

    EMPTY = "empty"
    """Its patch changes nothing."""
    INVALID = "invalid"
    """It cannot be used at all."""
    BARREN = "barren"
    """Its own improver failed, so it is no parent from now on."""


class Node(Record):
    """A candidate in its place."""

    number: int
    policy: Policy
    parent: int | None
    patch: tuple[str, ...] = ()
    """What was changed, one note an edit."""
    scores: tuple[Score, ...] = ()
    failed: tuple[str, ...] = ()
    """Keys of training tasks it failed."""
    flags: tuple[Flag, ...] = ()
    detail: str = ""
    """Why it is flagged, in words."""

    def score(self, split: Split) -> Score | None:
        """Its score on a split, the full one if there is one."""
        found = [score for score in self.scores if score.split is split]
        return max(found, key=lambda score: score.extent is Extent.FULL) if found else None


class Archive(Record):
    """Candidates in the order they were made. Changing it gives a new archive."""

    nodes: tuple[Node, ...] = Field(default=())

    def with_child(self, node: Node) -> Self:
        """The archive with one more node; BadInput if its number or parent does not fit."""
        if node.number != len(self.nodes) or node.parent not in range(len(self.nodes)):
            raise BadInput("node", node.number, "does not fit in the archive", remedy="number nodes in order")
        return type(self).model_construct(nodes=(*self.nodes, node))

    def flagged(self, number: int, flag: Flag, detail: str) -> Self:
        """The archive with a node flagged."""
        node = self.nodes[number]
        marked = node.model_copy(update={"flags": (*node.flags, flag), "detail": detail})
        return type(self).model_construct(nodes=(*self.nodes[:number], marked, *self.nodes[number + 1 :]))

    def lineage(self, number: int) -> tuple[int, ...]:
        """The node and its ancestors up to the root."""
        chain = [number]
        while (parent := self.nodes[chain[-1]].parent) is not None:
            chain.append(parent)
        return tuple(chain)

    def patched(
        self, parent: Node, policy: Policy, patch: Sequence[str], *, invalid: bool = False, detail: str = ""
    ) -> Node:
        """The next node, not yet scored; flagged if the patch is empty or the policy cannot be used."""
        empty = policy.version == parent.policy.version
        return Node(
            number=len(self.nodes),
            policy=policy,
            parent=parent.number,
            patch=tuple(patch),
            flags=(Flag.EMPTY,) * empty + (Flag.INVALID,) * invalid,
            detail=detail,
        )

    def children(self) -> dict[int, int]:
        """Number of usable children of every node."""
        counts = {node.number: 0 for node in self.nodes}
        for node in self.nodes:
            if node.parent is not None and not node.flags:
                counts[node.parent] += 1
        return counts

    def parents(self) -> tuple[Node, ...]:
        """Nodes that may have children; the root if there is no other, so that the search can go on."""
        return tuple(node for node in self.nodes if not node.flags) or self.nodes[:1]

    def best(self, split: Split) -> Node | None:
        """The node with the highest full score on a split, the earliest of equals; None if none has one."""
        best: Node | None = None
        for node in self.nodes:
            score = node.score(split)
            if score is None or score.extent is not Extent.FULL:
                continue
            held = best.score(split) if best else None
            if held is None or score.above(held):
                best = node
        return best


class Descent(NamedTuple):
    """A descendant and its distance."""

    node: Node
    distance: int


def descendants(archive: Archive, number: int) -> tuple[Descent, ...]:
    """All nodes below one, in order."""
    found = []
    for node in archive.nodes:
        chain = archive.lineage(node.number)
        if node.number != number and number in chain:
            found.append(Descent(node, chain.index(number)))
    return tuple(found)


Pick = Callable[[Sequence[Node], random.Random], Node]


def latest(nodes: Sequence[Node], rng: random.Random) -> Node:
    """The newest usable one: a chain without an archive."""
    return next((node for node in reversed(nodes) if not node.flags), nodes[0])


def uniform(nodes: Sequence[Node], rng: random.Random) -> Node:
    """Any."""
    return rng.choice(list(nodes))


def weighted(nodes: Sequence[Node], weights: Sequence[float], rng: random.Random) -> Node:
    """In proportion to weights; any if all are zero."""
    return rng.choices(list(nodes), weights=weights)[0] if any(weights) else uniform(nodes, rng)
