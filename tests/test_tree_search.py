"""Tree search: bookkeeping, budgets, and that it finds what there is to find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpen.core.seeds import random_for
from sharpen.search.growth import Backup, Child, Choice, Node, Path, Rule
from sharpen.search.lockstep import Beam, Grown, Leaf, Mcts, Plan, Reach, climb, searched

COST = 7


@dataclass
class Maze:
    """Random finite trees; a state is the path to it. Counts what it is asked."""

    seed: int
    depth: int = 4
    asked: list[int] = field(default_factory=list)

    def expand(self, leaves: Sequence[tuple[Leaf, Path]]) -> list[list[Child[Path]]]:
        self.asked.append(len(leaves))
        return [self.children(leaf.tree, state) for leaf, state in leaves]

    def children(self, tree: str, state: Path) -> list[Child[Path]]:
        rng = random_for(self.seed, tree, state)
        count = rng.choice((0, 1, 2, 3) if state else (2, 3))
        last = len(state) + 1 == self.depth
        return [
            Child((*state, n), rng.random(), rng.randint(0, COST), last or rng.random() < 0.3)
            for n in range(count)
        ]

    def value(self, leaves: Sequence[tuple[Leaf, Path]], ended: Sequence[bool]) -> list[float]:
        return [self.worth(leaf.tree, state) for leaf, state in leaves]

    def worth(self, tree: str, state: Path) -> float:
        return round(random_for(self.seed, tree, state, "worth").random(), 4)

    def most_tokens(self, depth: int) -> int:
        return 3 * COST

    def ends(self, tree: str, state: Path = ()) -> list[Path]:
        children = self.children(tree, state) if len(state) < self.depth else []
        if not children:
            return [state]
        below = [[c.state] if c.ended else self.ends(tree, c.state) for c in children]
        return [end for part in below for end in part]


NAMES = [f"tree {number}" for number in range(7)]
SEEDS = st.integers(0, 10_000)
SEARCHES = st.builds(
    Mcts,
    simulations=st.integers(1, 12),
    first=st.integers(1, 3),
    depth=st.integers(1, 5),
    tokens=st.none() | st.integers(0, 120),
    rule=st.sampled_from(Rule),
    backup=st.sampled_from(Backup),
    gamma=st.sampled_from([0.5, 1.0]),
    reach=st.sampled_from(Reach),
    plan=st.sampled_from(Plan),
    choice=st.sampled_from(Choice),
)
BEAMS = st.builds(
    Beam, keep=st.integers(1, 4), depth=st.integers(1, 5), tokens=st.none() | st.integers(0, 80)
)


def grown(world: Maze, how: Mcts | Beam, names: Sequence[str], batch: int = 64) -> list[Grown]:
    roots: list[tuple[str, Path]] = [(name, ()) for name in names]
    return searched(world, roots, how, batch=batch)


@given(SEEDS, SEARCHES | BEAMS, st.integers(1, 8), st.permutations(NAMES))
@settings(max_examples=60)
def test_how_many_grow_together_and_in_which_order_does_not_matter(
    seed: int, how: Mcts | Beam, batch: int, order: list[str]
) -> None:
    alone = [grown(Maze(seed), how, [name])[0] for name in order]
    assert grown(Maze(seed), how, order, batch) == alone


def below(nodes: Sequence[Node[Path]], number: int) -> int:
    return sum(nodes[child].visits for child in nodes[number].children)


@given(SEEDS, SEARCHES)
@settings(max_examples=60)
def test_visits_add_up(seed: int, how: Mcts) -> None:
    for tree in grown(Maze(seed), how, NAMES[:3]):
        ended_here = [node.visits - below(tree.nodes, number) for number, node in enumerate(tree.nodes)]
        assert all(count >= 0 for count in ended_here)
        assert sum(ended_here) == tree.nodes[0].visits == tree.simulations


def subtree(nodes: Sequence[Node[Path]], number: int) -> list[int]:
    return [number, *(place for child in nodes[number].children for place in subtree(nodes, child))]


def stepwise(nodes: Sequence[Node[Path]], number: int, gamma: float) -> float:
    """Q by its definition, from the leaves up."""
    node = nodes[number]
    gain = node.value - (0.0 if node.parent is None else nodes[node.parent].value)
    rows = [(max(1, nodes[c].visits), stepwise(nodes, c, gamma)) for c in node.children]
    return gain + gamma * sum(n * q for n, q in rows) / max(1, sum(n for n, _ in rows))


@given(SEEDS, SEARCHES)
@settings(max_examples=60)
def test_backed_up_values_are_those_of_a_computation_from_scratch(seed: int, how: Mcts) -> None:
    for tree in grown(Maze(seed), how, NAMES[:2]):
        for number, node in enumerate(tree.nodes):
            if not node.visits:
                continue
            if how.backup is Backup.STEPWISE:
                assert node.q == pytest.approx(stepwise(tree.nodes, number, how.gamma))
                continue
            own = [(tree.nodes[i].visits - below(tree.nodes, i), i) for i in subtree(tree.nodes, number)]
            assert node.q == pytest.approx(sum(n * tree.nodes[i].value for n, i in own) / node.visits)


@given(SEEDS, SEARCHES | BEAMS)
@settings(max_examples=80)
def test_budgets_hold(seed: int, how: Mcts | Beam) -> None:
    for tree in grown(Maze(seed), how, NAMES[:3]):
        assert how.tokens is None or sum(node.tokens for node in tree.nodes) <= how.tokens
        assert max(node.depth for node in tree.nodes) <= how.depth
        if isinstance(how, Mcts) and how.plan is Plan.ONCE:
            assert tree.simulations == how.simulations * how.first


@given(SEEDS, st.sampled_from(Reach))
@settings(max_examples=25)
def test_enough_simulations_find_the_best_end(seed: int, reach: Reach) -> None:
    world = Maze(seed, depth=3)
    how = Mcts(simulations=250, rule=Rule.UCT, weight=2.0, reach=reach, depth=3)
    (tree,) = grown(world, how, NAMES[:1])
    ends = [node for node in tree.nodes if node.ended and node.visits]
    best = max(node.value for node in ends)
    assert best == max(world.worth(NAMES[0], end) for end in world.ends(NAMES[0]))


@given(SEEDS)
@settings(max_examples=25)
def test_a_beam_that_keeps_everything_finds_the_best_end(seed: int) -> None:
    world = Maze(seed)
    (tree,) = grown(world, Beam(keep=100, depth=4), NAMES[:1])
    found = tree.nodes[tree.walk[-1]].value
    assert found == max(world.worth(NAMES[0], end) for end in world.ends(NAMES[0]))


def test_a_prior_decides_where_values_do_not() -> None:
    class Flat(Maze):
        def worth(self, tree: str, state: Path) -> float:
            return 0.5

    (tree,) = grown(Flat(3), Mcts(simulations=40, rule=Rule.PUCT), NAMES[:1])
    root = tree.nodes[0]
    visits = [tree.nodes[child].visits for child in root.children]
    priors = [tree.nodes[child].prior for child in root.children]
    assert sorted(range(len(visits)), key=lambda i: visits[i]) == sorted(
        range(len(priors)), key=lambda i: priors[i]
    )


def test_trees_share_batches() -> None:
    world = Maze(1)
    climb(world, [(name, ()) for name in NAMES], Mcts(simulations=6))
    assert world.asked[0] == len(NAMES)
    assert len(world.asked) <= 6


def test_the_walk_goes_down_the_tree() -> None:
    for tree in grown(Maze(5), Mcts(simulations=8, plan=Plan.STEPWISE, reach=Reach.END), NAMES):
        assert tree.walk[0] == 0
        for above, here in zip(tree.walk, tree.walk[1:], strict=False):
            assert tree.nodes[here].parent == above
        assert tree.nodes[tree.walk[-1]].ended
