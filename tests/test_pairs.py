"""Curators of pairs and refinements, as pure functions of attempts, rewards and trees."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpen.core.attempt import Attempt, Author, Stop, Turn
from sharpen.core.policy import PromptForm
from sharpen.core.records import decode, encode
from sharpen.core.task import Task
from sharpen.curation.pairs import (
    Pairs,
    Preferred,
    Span,
    all_ordered,
    distinct,
    flipped,
    gold_over_own,
    length_matched,
    siblings,
    top_and_bottom,
    visit_label,
)
from sharpen.curation.refinements import (
    Change,
    Refinement,
    Refinements,
    from_tree,
    later_over_earlier,
    refining,
)
from sharpen.search.trees import Tree, TreeNode

QUESTION = Task.ask("1+2+3=?", "6", solution="1+2=3\n3+3=6\n#### 6")
FORM = PromptForm()


def attempt(text: str, *, task: str = QUESTION.key, index: int = 0, prompt: str = "") -> Attempt:
    turns = (
        Turn(author=Author.TEMPLATE, text=prompt or FORM.text(QUESTION)),
        Turn(author=Author.POLICY, text=text, token_ids=tuple(map(ord, text))),
    )
    return Attempt(task=task, index=index, policy="p", turns=turns)


groups = st.lists(
    st.tuples(st.sampled_from("ab"), st.text("xyz", min_size=1, max_size=4), st.none() | st.integers(0, 3)),
    max_size=10,
)


def read(rows: Sequence[tuple[str, str, int | None]]) -> tuple[list[Attempt], list[float | None]]:
    return [attempt(text, task=task) for task, text, _ in rows], [reward for _, _, reward in rows]


def rewards_by(attempts: Sequence[Attempt], rewards: Sequence[float | None]) -> dict[str, list[float]]:
    return {
        task: [r for a, r in zip(attempts, rewards, strict=True) if a.task == task and r is not None]
        for task in "ab"
    }


@given(groups, st.floats(0, 2))
def test_top_and_bottom_are_the_extremes_of_each_group(
    rows: list[tuple[str, str, int | None]], least: float
) -> None:
    attempts, rewards = read(rows)
    pairs = {pair.better.task: pair for pair in top_and_bottom(attempts, rewards, least=least).items}
    for task, known in rewards_by(attempts, rewards).items():
        gap = max(known) - min(known) if known else 0
        assert (task in pairs) == (gap > least)
        assert task not in pairs or pairs[task].margin == gap


@given(groups)
def test_all_ordered_pairs_are_those_of_different_rewards(rows: list[tuple[str, str, int | None]]) -> None:
    attempts, rewards = read(rows)
    pairs = all_ordered(attempts, rewards, per_task=1_000)
    wanted = sum(a > b for known in rewards_by(attempts, rewards).values() for a in known for b in known)
    assert len(pairs) == wanted
    assert all(pair.margin > 0 and pair.better.task == pair.worse.task for pair in pairs.items)
    once = distinct(pairs)
    assert distinct(once) == once
    assert flipped(flipped(pairs)) == pairs


@given(groups)
def test_pairs_of_like_length(rows: list[tuple[str, str, int | None]]) -> None:
    attempts, rewards = read(rows)
    for pair in length_matched(attempts, rewards, apart=0.3).items:
        short, long = sorted((pair.better.token_count, pair.worse.token_count))
        assert long - short <= 0.3 * long


def test_the_most_alike_lengths_are_paired() -> None:
    attempts = [attempt("x" * 10), attempt("y" * 2), attempt("z" * 9)]
    (pair,) = length_matched(attempts, [1.0, 0.0, 0.0]).items
    assert pair.worse.response == "z" * 9


def test_gold_stands_over_own_under_the_same_prompt() -> None:
    own = [attempt(str(QUESTION.solution)), attempt("1+2=4\n#### 7", index=1)]
    (pair,) = gold_over_own((QUESTION,), own, FORM, span=Span.DIVERGING).items
    assert pair.better.turns[0] == pair.worse.turns[0]
    assert pair.worse == own[1]
    assert pair.better.turns[1].text.strip() == QUESTION.solution
    assert pair.why


def node(
    parent: int | None, text: str, q: float, visits: int, children: Sequence[int] = (), kept: int = 0
) -> TreeNode:
    said = Turn(author=Author.POLICY, text=text, token_ids=tuple(map(ord, text)))
    prompt = Turn(author=Author.TEMPLATE, text="Q: ?")
    turns = () if parent is None else (said,) if kept else (prompt, said)
    return TreeNode(
        parent=parent,
        kept=kept,
        turns=turns,
        stop=Stop.END,
        ended=not children,
        prior=0.5,
        value=q,
        q=q,
        visits=visits,
        children=tuple(children),
    )


def tree(nodes: Sequence[TreeNode], walk: Sequence[int], *, revisions: bool = False) -> Tree:
    return Tree(
        task="t",
        policy="p",
        temperature=1.0,
        round=1,
        nodes=tuple(nodes),
        walk=tuple(walk),
        revisions=revisions,
    )


STEPS = tree(
    [
        node(None, "", 0.6, 9, (1, 2, 3)),
        node(0, "a\n", 0.8, 6, (4, 5)),
        node(0, "b\n", 0.1, 2),
        node(0, "c\n", 0.5, 1),
        node(1, "d", 0.9, 4, kept=2),
        node(1, "da", 0.2, 1, kept=2),
    ],
    (0, 1, 4),
)


def test_siblings_on_the_walk_are_paired_with_labels_by_visits() -> None:
    (pair,) = siblings([STEPS]).items  # `d` and `da` are not told apart by any token
    assert (pair.better.response, pair.worse.response) == ("a", "b")
    assert pair.label == 6 / 8
    assert (pair.by, pair.span) == (Preferred.SEARCH, Span.DIVERGING)
    assert pair.margin == pytest.approx(0.7)
    assert siblings([STEPS], soft=False).items[0].label == 1.0
    assert not siblings([STEPS], least=0.7000001).items


def test_steps_that_were_never_tried_can_be_left_out() -> None:
    fresh = [
        *STEPS.nodes[:2],
        STEPS.nodes[2].model_copy(update={"visits": 0, "ended": False}),
        *STEPS.nodes[3:],
    ]
    untried = tree(fresh, STEPS.walk)
    assert [p.worse.response for p in siblings([untried]).items] == ["b"]
    assert [p.worse.response for p in siblings([untried], tried=True).items] == ["c"]


@given(st.integers(0, 50), st.integers(0, 50))
def test_visits_never_turn_a_preference_round(better: int, worse: int) -> None:
    label = visit_label(better, worse)
    assert 0.5 <= label <= 1
    assert label == 0.5 or label + visit_label(worse, better) >= 1


def test_an_attempt_in_a_tree_is_all_that_stands_above_it() -> None:
    assert STEPS.attempt(4).response == "a\nd"
    assert STEPS.line(4) == (0, 1, 4)
    assert STEPS.best == 4
    assert decode(Tree, encode(STEPS)) == STEPS


def test_refinements_know_what_changed() -> None:
    worths = {"x": (0.0, 1.0), "y": (1.0, 0.0), "z": (1.0, 1.0), "w": (None, 1.0)}
    found = Refinements(
        items=tuple(
            Refinement(task="t", before=attempt(text), after=attempt(text.upper()), was=was, now=now)
            for text, (was, now) in worths.items()
        )
    )
    assert [one.change for one in found.items] == [
        Change.MENDED,
        Change.SPOILED,
        Change.KEPT,
        Change.UNKNOWN,
    ]


def test_refinements_in_a_tree_of_revisions() -> None:
    nodes = [
        node(None, "", 0.0, 2, (1,)),
        node(0, "first", 0.2, 2, (2,)),
        node(1, "second", 0.9, 1),
    ]
    (one,) = from_tree(tree(nodes, (0, 1, 2), revisions=True)).items
    assert (one.before.response, one.after.response, one.turn) == ("first", "second", 1)
    assert one.change is Change.MENDED
    assert not from_tree(tree(nodes, (0, 1, 2))).items


def test_a_chain_is_paired_under_its_first_prompt_and_refining_pairs_show_the_worse_answer() -> None:
    chain = [attempt(" so"), attempt(" better", prompt="Q: 1+2+3=?\nA: so\n\nQ: again\nA:", task="derived")]
    pairs = later_over_earlier([chain, [attempt("x"), attempt("x")], [attempt("y")]])
    (pair,) = pairs.items
    assert pair.better.turns[0] == pair.worse.turns[0] == chain[0].turns[0]
    both = refining(pairs, (QUESTION,), FORM)
    (again,) = both.items
    assert again.refines
    assert again.better.turns[0] == again.worse.turns[0]
    assert "A: so" in again.better.turns[0].text
    assert (again.better.response, again.worse.response) == ("better", "so")
    assert again.better.task == again.worse.task != QUESTION.key
    assert decode(Pairs, encode(both)) == both
