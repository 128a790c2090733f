"""Trees of attempts as records: each node stores what it adds to its parent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sharpen.core.attempt import Attempt, Author, Branch, Stop, Turn
from sharpen.core.policy import Policy
from sharpen.core.records import Record
from sharpen.core.run import Scope
from sharpen.core.task import Task
from sharpen.search.lockstep import Grown


class TreeNode(Record):
    """A step, or a revision, and what the search found below it."""

    parent: int | None
    kept: int
    """How many of its parent's turns its attempt begins with."""
    turns: tuple[Turn, ...]
    """The turns that follow them."""
    stop: Stop
    ended: bool
    prior: float
    """The policy's probability of the step."""
    value: float
    """What it was held to be worth when it was first reached."""
    q: float
    """Its value after the search."""
    visits: int
    children: tuple[int, ...]

    @property
    def text(self) -> str:
        """What the policy wrote here."""
        return "".join(turn.text for turn in self.turns if turn.author is Author.POLICY)


class Tree(Record):
    """Everything a search tried at one task; node 0 is the root, and parents come before their children."""

    task: str
    """Key of the task."""
    policy: str
    """Version of the policy that searched."""
    temperature: float
    round: int
    nodes: tuple[TreeNode, ...]
    walk: tuple[int, ...]
    """The chosen line, from the root down."""
    revisions: bool = False
    """Whether each node but the root is a whole answer, which revises its parent's; else it is a step."""

    def line(self, number: int) -> tuple[int, ...]:
        """Nodes from the root down to one of them."""
        return tuple(self._upwards(number))[::-1]

    def _upwards(self, number: int) -> Iterator[int]:
        at: int | None = number
        while at is not None:
            yield at
            at = self.nodes[at].parent

    def attempt(self, number: int) -> Attempt:
        """What stood there, as an attempt whose index is the node's number."""
        turns: tuple[Turn, ...] = ()
        for place in self.line(number):
            turns = (*turns[: self.nodes[place].kept], *self.nodes[place].turns)
        node = self.nodes[number]
        parent = None if node.parent is None else Branch(parent=f"{self.task}#{node.parent}", turn=node.kept)
        return Attempt(
            task=self.task,
            index=number,
            policy=self.policy,
            turns=turns,
            stop=node.stop,
            round=self.round,
            temperature=self.temperature,
            branch=parent,
        )

    @property
    def best(self) -> int:
        """The whole answer of highest value, the first of equals; the last of the walk if there is none."""
        ends = [n for n, node in enumerate(self.nodes) if n and (node.ended or self.revisions)]
        return max(ends, key=lambda n: self.nodes[n].value) if ends else self.walk[-1]


class Trees(Record):
    """Trees, one per task, in order."""

    items: tuple[Tree, ...]


def roots(it: Scope, policy: Policy, tasks: Sequence[Task]) -> list[tuple[str, Attempt]]:
    """For every task the attempt at which nothing stands yet, named by the task's key."""
    return [
        (task.key, Attempt(task=task.key, index=0, policy=policy.version, turns=(), round=it.round))
        for task in tasks
    ]


def recorded(grown: Grown, *, revisions: bool = False) -> Tree:
    """A finished search over attempts as a record."""
    states: list[Attempt] = [node.state for node in grown.nodes]
    nodes = []
    for node, state in zip(grown.nodes, states, strict=True):
        before = () if node.parent is None else states[node.parent].turns
        kept = _shared(before, state.turns)
        nodes.append(
            TreeNode(
                parent=node.parent,
                kept=kept,
                turns=state.turns[kept:],
                stop=state.stop,
                ended=node.ended,
                prior=node.prior,
                value=node.value,
                q=round(node.q, 6),
                visits=node.visits,
                children=tuple(node.children),
            )
        )
    last = states[-1]
    return Tree(
        task=grown.name,
        policy=last.policy,
        temperature=last.temperature,
        round=last.round,
        nodes=tuple(nodes),
        walk=grown.walk,
        revisions=revisions,
    )


def _shared(left: tuple[Turn, ...], right: tuple[Turn, ...]) -> int:
    both = enumerate(zip(left, right, strict=False))
    return next((place for place, (a, b) in both if a != b), min(len(left), len(right)))
