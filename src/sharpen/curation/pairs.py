"""Preference pairs as records: what is preferred, by whom and why, how surely, and what carries loss."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from enum import StrEnum

from pydantic import Field

from sharpen.core.attempt import Attempt, Provenance
from sharpen.core.policy import PromptForm
from sharpen.core.records import Record
from sharpen.core.task import Task
from sharpen.curation.rankings import ordered_pairs, ranked
from sharpen.curation.select import written
from sharpen.search.trees import Tree, TreeNode


class Preferred(StrEnum):
    """By what one response stands above another."""

    VERIFIER = "verifier"
    JUDGE = "judge"
    SELF = "self"
    """The policy's own word, or what was asked of it."""
    SEARCH = "search"
    """Values or visits of a search tree."""
    REFINEMENT = "refinement"
    """It is the later one of a chain of revisions."""
    ORIGIN = "origin"
    """Where it comes from: a worked solution, or somebody who knows more."""


class Span(StrEnum):
    """Which tokens of both responses carry loss, of those that may."""

    WHOLE = "whole"
    DIVERGING = "diverging"
    """From the first one at which they differ."""
    AFTER = "after"
    """Those after the last occurrence of the pair's marker; all where it does not occur."""


class Pair(Record):
    """Two attempts at one task, the preferred one first."""

    better: Attempt
    worse: Attempt
    margin: float = 1.0
    """Difference of their rewards."""
    label: float = Field(default=1.0, ge=0, le=1)
    """How surely the better one is the better one."""
    by: Preferred = Preferred.VERIFIER
    """By what it is preferred."""
    why: str = ""
    """The reason in words, where there is one."""
    span: Span = Span.WHOLE
    """What carries loss."""
    marker: str = ""
    """The text that the loss begins after, with span `after`."""
    refines: bool = False
    """Whether the prompt shows an earlier answer, so that a revision is learnt."""


class Pairs(Record):
    """Pairs, in order."""

    items: tuple[Pair, ...]

    def __len__(self) -> int:
        return len(self.items)


Rewards = Sequence[float | None]
"""One for each attempt; None is not known, and such an attempt is in no pair."""


def top_and_bottom(
    attempts: Sequence[Attempt],
    rewards: Rewards,
    *,
    least: float = 0.0,
    by: Preferred = Preferred.VERIFIER,
) -> Pairs:
    """Of every task the attempt of highest and the one of lowest reward, if they differ by more than `least`.

    The first of equals is taken. A chain of revisions is a group, too: these are its extremes.
    """
    found = []
    for group in _known(attempts, rewards):
        (better, high), (worse, low) = max(group, key=_reward), min(group, key=_reward)
        if high - low > least:
            found.append(Pair(better=better, worse=worse, margin=high - low, by=by))
    return Pairs(items=tuple(found))


def all_ordered(
    attempts: Sequence[Attempt],
    rewards: Rewards,
    *,
    least: float = 0.0,
    per_task: int = 8,
    by: Preferred = Preferred.VERIFIER,
) -> Pairs:
    """Every two attempts of a task whose rewards differ by more than `least`: the widest apart first."""
    found = []
    for group in _known(attempts, rewards):
        rows = [(group[int(a)], group[int(b)]) for a, b in ordered_pairs(ranked(_numbered(group)))]
        apart = sorted(((high - low, a, b) for (a, high), (b, low) in rows), key=lambda row: -row[0])
        found += [Pair(better=a, worse=b, margin=gap, by=by) for gap, a, b in apart[:per_task] if gap > least]
    return Pairs(items=tuple(found))


def length_matched(
    attempts: Sequence[Attempt],
    rewards: Rewards,
    *,
    apart: float = 0.3,
    by: Preferred = Preferred.VERIFIER,
) -> Pairs:
    """Of every task its pair of different rewards whose lengths are most alike, so that length says nothing.

    Pairs whose lengths differ by more than the share `apart` of the longer one are left out. Of equally long
    ones those with the widest gap are taken, then the first ones.
    """
    found = []
    for pair in all_ordered(attempts, rewards, per_task=len(attempts) ** 2, by=by).items:
        sizes = sorted((_length(pair.better), _length(pair.worse)))
        found.append((1 - sizes[0] / max(1, sizes[1]), pair))
    best: dict[str, tuple[float, Pair]] = {}
    for unlike, pair in found:
        if unlike <= apart and unlike < best.get(pair.better.task, (2.0, pair))[0]:
            best[pair.better.task] = unlike, pair
    return Pairs(items=tuple(pair for _, pair in best.values()))


def gold_over_own(
    tasks: Sequence[Task],
    attempts: Sequence[Attempt],
    form: PromptForm,
    *,
    per_task: int = 1,
    span: Span = Span.WHOLE,
    marker: str = "",
) -> Pairs:
    """A task's own worked solution over the first attempts at it that differ from it.

    The solution is put under the prompt of the attempt, so that both answer the same words; tasks without a
    solution, or without such an attempt, are left out.
    """
    groups: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        groups[attempt.task].append(attempt)
    found = []
    for task in (task for task in tasks if task.solution):
        solution = task.solution or ""
        own = [a for a in groups[task.key] if a.response != solution.strip()][:per_task]
        for attempt in own:
            gold = written(task, form, solution, policy=attempt.policy, provenance=Provenance.SPLICED)
            better = gold.model_copy(update={"turns": (attempt.turns[0], *gold.turns[1:])})
            why = "the task's own solution"
            by = Preferred.ORIGIN
            found.append(Pair(better=better, worse=attempt, by=by, span=span, marker=marker, why=why))
    return Pairs(items=tuple(found))


def siblings(
    trees: Iterable[Tree],
    *,
    per_tree: int = 8,
    least: float = 0.0,
    soft: bool = True,
    tried: bool = False,
) -> Pairs:
    """At every step of a tree's walk the child of highest Q over that of lowest, if they are `least` apart.

    Loss begins where they diverge. With `soft`, the label says which share of both ones' visits the better
    one has, at least a half (arXiv 2405.00451). Children that were never visited count like the others, by
    the value they were given; with `tried` they are left out unless they have ended. A step that only goes on
    where another is cut off makes no pair.
    """
    found: list[Pair] = []
    for tree in trees:
        pairs = []
        for place in tree.walk:
            below = [(number, tree.nodes[number]) for number in tree.nodes[place].children]
            children = [(n, node) for n, node in below if node.visits or node.ended or not tried]
            if len(children) < 2:
                continue
            (better, high), (worse, low) = (pick(children, key=_q) for pick in (max, min))
            up, down = tree.attempt(better), tree.attempt(worse)
            if high.q - low.q > least and _apart(up, down):
                pairs.append(
                    Pair(
                        better=up,
                        worse=down,
                        margin=high.q - low.q,
                        label=visit_label(high.visits, low.visits) if soft else 1.0,
                        by=Preferred.SEARCH,
                        why=f"Q {high.q:.3g} over {low.q:.3g} at step {len(tree.line(place))}",
                        span=Span.DIVERGING,
                    )
                )
        found += pairs[:per_tree]
    return Pairs(items=tuple(found))


def visit_label(better: int, worse: int) -> float:
    """How sure visits make a preference: the better one's share, at least a half; a half without any."""
    return max(0.5, better / (better + worse)) if better + worse else 0.5


def distinct(pairs: Pairs) -> Pairs:
    """The pairs without those of equal responses, and each two responses of a task once: as first seen."""
    seen: dict[tuple[str, frozenset[str]], Pair] = {}
    for pair in pairs.items:
        both = frozenset((pair.better.response, pair.worse.response))
        if len(both) == 2:
            seen.setdefault((pair.better.task, both), pair)
    return Pairs(items=tuple(seen.values()))


def flipped(pairs: Pairs) -> Pairs:
    """Every pair the other way round; for ablations."""
    return Pairs(
        items=tuple(p.model_copy(update={"better": p.worse, "worse": p.better}) for p in pairs.items)
    )


def misjudged(pairs: Pairs, rng: random.Random, chance: float) -> Pairs:
    """The pairs, each with this chance the other way round: preferences of a judge who errs."""
    turned = [rng.random() < chance for _ in pairs.items]
    rows = zip(pairs.items, flipped(pairs).items, turned, strict=True)
    return Pairs(items=tuple(wrong if turn else pair for pair, wrong, turn in rows))


def _known(attempts: Sequence[Attempt], rewards: Rewards) -> list[list[tuple[Attempt, float]]]:
    groups: dict[str, list[tuple[Attempt, float]]] = defaultdict(list)
    for attempt, reward in zip(attempts, rewards, strict=True):
        if reward is not None:
            groups[attempt.task].append((attempt, reward))
    return list(groups.values())


def _numbered(group: Sequence[tuple[Attempt, float]]) -> dict[str, float]:
    return {str(place): reward for place, (_, reward) in enumerate(group)}


def _reward(known: tuple[Attempt, float]) -> float:
    return known[1]


def _q(child: tuple[int, TreeNode]) -> float:
    return child[1].q


def _apart(left: Attempt, right: Attempt) -> bool:
    """Whether some token differs before either ends; text without tokens counts as apart."""
    ids, others = ([i for turn in a.turns for i in turn.token_ids] for a in (left, right))
    return not (ids and others) or any(a != b for a, b in zip(ids, others, strict=False))


def _length(attempt: Attempt) -> int:
    """Tokens, or characters of text that came without."""
    return attempt.token_count or len(attempt.response)
