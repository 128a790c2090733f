"""Archives: immutable, with lineage; scores of different tasks are never compared."""

from __future__ import annotations

import pytest

from sharpen.core.errors import BadInput
from sharpen.core.policy import Policy
from sharpen.core.seeds import random_for
from sharpen.core.task import Split
from sharpen.recipes.hyperagents import Parents, chances
from sharpen.search.staged import growth
from sharpen.stores.archive import Archive, Extent, Flag, Node, Score, descendants, latest, weighted


def score(value: float, extent: Extent = Extent.FULL, split: Split = Split.TRAIN, n: int = 10) -> Score:
    return Score(split=split, extent=extent, domains={"a": value, "b": value}, sizes={"a": n, "b": n})


def node(number: int, parent: int | None, value: float = 0.0, **more: object) -> Node:
    policy = Policy(model="m", base=f"v{number}")
    scores = (score(value), score(value, split=Split.VAL))
    return Node.model_validate(
        {"number": number, "policy": policy, "parent": parent, "scores": scores, **more}
    )


def archive() -> Archive:
    """0 -> 1 -> 3, 0 -> 2 (flagged), 1 -> 4."""
    made = Archive(nodes=(node(0, None, 0.1),))
    for child in (node(1, 0, 0.3), node(2, 0, flags=(Flag.EMPTY,)), node(3, 1, 0.6), node(4, 1, 0.6)):
        made = made.with_child(child)
    return made


def test_lineage_children_and_parents() -> None:
    made = archive()
    assert made.lineage(3) == (3, 1, 0)
    assert made.children() == {0: 1, 1: 2, 2: 0, 3: 0, 4: 0}
    assert [n.number for n in made.parents()] == [0, 1, 3, 4]
    assert [(d.node.number, d.distance) for d in descendants(made, 0)] == [(1, 1), (2, 1), (3, 2), (4, 2)]


def test_an_archive_never_changes_and_never_forgets() -> None:
    made = archive()
    grown = made.with_child(node(5, 4)).flagged(1, Flag.BARREN, "its improver ran out of time")
    assert len(made.nodes) == 5 and not made.nodes[1].flags
    assert len(grown.nodes) == 6 and grown.nodes[1].detail == "its improver ran out of time"
    with pytest.raises(BadInput):
        made.with_child(node(9, 0))
    with pytest.raises(BadInput):
        made.with_child(node(5, 5))


def test_a_child_equal_to_its_parent_is_flagged_as_empty() -> None:
    made = archive()
    parent = made.nodes[0]
    assert made.patched(parent, parent.policy, ()).flags == (Flag.EMPTY,)
    assert not made.patched(parent, made.nodes[1].policy, ("x",)).flags


@pytest.mark.parametrize(
    "other", [score(0.1, Extent.SAMPLE), score(0.1, split=Split.VAL), score(0.1, n=11)], ids=str
)
def test_scores_of_different_tasks_are_refused(other: Score) -> None:
    with pytest.raises(BadInput):
        score(0.2).above(other)


def test_tasks_that_were_not_tried_count_as_failed() -> None:
    assert score(0.8, Extent.SAMPLE, n=5).counted_in({"a": 10, "b": 20}) == pytest.approx(0.3)


def test_best_is_the_earliest_of_equals_and_only_of_full_scores() -> None:
    best = archive().best(Split.VAL)
    assert best is not None and best.number == 3
    sample = Archive(nodes=(node(0, None).model_copy(update={"scores": (score(1.0, Extent.SAMPLE),)}),))
    assert sample.best(Split.TRAIN) is None


def test_parents_are_chosen_as_in_the_paper() -> None:
    assert chances([0.5, 0.5, 0.5], [0, 1, 3], Parents.PAPER) == pytest.approx([0.5, 0.25, 0.125])
    assert chances([0.5], [8], Parents.CODE) == pytest.approx([0.5 * 0.36788], abs=1e-4)
    high, low = chances([0.9, 0.1], [0, 0], Parents.PAPER)
    assert high / low == pytest.approx(0.9820 / 0.0180, rel=0.01)
    nodes = archive().nodes
    assert latest(nodes, random_for(1)).number == 4
    assert weighted(nodes, [0, 0, 0, 1, 0], random_for(1)).number == 3


def test_growth_discounts_distance_and_needs_three_descendants() -> None:
    made = archive()
    sizes = {"a": 10, "b": 10}
    assert growth(made, 0, sizes) == pytest.approx((0.2 * 0.6 + 2 * 0.5 * 0.36) / 3)
    assert growth(made, 1, sizes) is None
