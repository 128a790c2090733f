"""Staged evaluation by domain: a small sample first, everything only where no domain fails altogether."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sharpen.core.budget import Purpose
from sharpen.core.policy import Policy
from sharpen.core.records import digest
from sharpen.core.run import Scope
from sharpen.core.task import Split, Task
from sharpen.core.verdict import value_of
from sharpen.search.improver import Brief, DomainReport, Example, Tally, fate_of, kinds_of
from sharpen.stores.archive import Archive, Extent, Flag, Node, Score, descendants

Tasks = tuple[Sequence[Task], Sequence[Task]]
"""For training and for validation."""
DISCOUNT, LEAST = 0.6, 3
"""Of descendants by distance, and how many a node must have (arXiv 2603.19461)."""
SHOWN = 4
"""Failed training tasks of a domain that an improver is shown."""


def by_domain(tasks: Sequence[Task]) -> dict[str, list[Task]]:
    """Tasks by the domain that their metadata name, else by family."""
    found: dict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        found[str(task.metadata.get("domain", task.family))].append(task)
    return dict(sorted(found.items()))


def sizes_of(tasks: Sequence[Task]) -> dict[str, int]:
    """Number of tasks by domain."""
    return {name: len(group) for name, group in by_domain(tasks).items()}


def score_of(
    values: Mapping[str, float | None], tasks: Sequence[Task], split: Split, extent: Extent
) -> Score:
    """Means by domain of values by task key; a task without a known value stays out."""
    groups = {name: [values[t.key] for t in group] for name, group in by_domain(tasks).items()}
    known = {name: [value for value in group if value is not None] for name, group in groups.items()}
    return Score(
        split=split,
        extent=extent,
        domains={name: sum(group) / max(1, len(group)) for name, group in known.items()},
        sizes={name: len(group) for name, group in known.items()},
    )


class Measured(NamedTuple):
    """A score, the value of each task by its key, and why the program failed on all of them, if it did."""

    score: Score
    values: dict[str, float | None]
    failure: str = ""


def measured(it: Scope, policy: Policy, tasks: Sequence[Task], split: Split, extent: Extent) -> Measured:
    """Score on some tasks."""
    attempts = it.attempt(policy, tasks, temperature=0.0)
    verdicts = it.judge(attempts, tasks)
    values = {task.key: value_of(verdict) for task, verdict in zip(tasks, verdicts, strict=True)}
    failed = bool(attempts) and all(attempt.outcome.get("failed") == 1 for attempt in attempts)
    failure = str(attempts[0].outcome.get("failure", "it answers nothing")) if failed else ""
    return Measured(score_of(values, tasks, split, extent), values, failure)


def evaluated(it: Scope, node: Node, train: Sequence[Task], val: Sequence[Task], sample: int) -> Node:
    """The node with its scores: of a sample of every domain; if each is above 0, of all and of val.

    A program that fails on every task of the sample is flagged as invalid.
    """
    if node.flags:
        return node
    first = [task for group in by_domain(train).values() for task in group[:sample]]
    score, values, failure = measured(it, node.policy, first, Split.TRAIN, Extent.SAMPLE)
    scores = [score]
    if all(score.domains.values()):
        rest = [task for task in train if task.key not in values]
        values |= measured(it, node.policy, rest, Split.TRAIN, Extent.FULL).values if rest else {}
        held = it.evaluate(node.policy, val, name=f"val/{_name_of(val)}", purpose=Purpose.METHOD).values
        by_key = {task.key: value for task, value in zip(val, held, strict=True)}
        scores.append(score_of(values, train, Split.TRAIN, Extent.FULL))
        scores.append(score_of(by_key, val, Split.VAL, Extent.FULL))
    failed = tuple(key for key, value in values.items() if not value)
    flags = (Flag.INVALID,) if failure else ()
    facts = {"scores": tuple(scores), "failed": failed, "flags": flags, "detail": failure}
    return node.model_copy(update=facts)


def _name_of(tasks: Sequence[Task]) -> str:
    """Stands for these tasks: a run may score a program on several sets of one size."""
    return digest([task.key for task in tasks])[:8]


def extended(it: Scope, archive: Archive, parent: Node, child: Policy, tasks: Tasks, sample: int) -> Archive:
    """The archive with a child, scored if it can be used.

    A parent whose own improver failed has no more children.
    """
    fate = fate_of(child)
    node = archive.patched(
        parent, child, kinds_of(child), invalid=fate.flag is Flag.INVALID, detail=fate.detail
    )
    grown = archive.with_child(evaluated(it, node, *tasks, sample))
    return grown.flagged(parent.number, Flag.BARREN, fate.detail) if fate.flag is Flag.BARREN else grown


def alpha(node: Node, sizes: Mapping[str, int]) -> float:
    """Training score with tasks that were not tried counted as failed; 0 for a node without a score."""
    score = node.score(Split.TRAIN)
    return score.counted_in(sizes) if score else 0.0


def growth(archive: Archive, number: int, sizes: Mapping[str, int]) -> float | None:
    """Mean over a node's usable descendants of their gain in alpha, discounted by distance; None below 3."""
    own = alpha(archive.nodes[number], sizes)
    below = [d for d in descendants(archive, number) if not d.node.flags]
    gains = [(alpha(d.node, sizes) - own) * DISCOUNT**d.distance for d in below]
    return sum(gains) / len(gains) if len(gains) >= LEAST else None


def examples_of(tasks: Sequence[Task]) -> dict[str, list[tuple[str, str]]]:
    """Questions and answers by domain."""
    return {name: [(t.question, t.answer) for t in group] for name, group in by_domain(tasks).items()}


def brief_of(archive: Archive, node: Node, train: Sequence[Task]) -> Brief:
    """What an improver may know: its node's training scores and failed tasks, the record of edits."""
    score, failed = node.score(Split.TRAIN), set(node.failed)
    report = {}
    for name, group in by_domain(train).items():
        shown = [task for task in group if task.key in failed][:SHOWN] or group[:SHOWN]
        examples = tuple(Example(task.question, task.answer) for task in shown)
        report[name] = DomainReport(score.domains[name] if score else 0.0, examples)
    return Brief(report=report, past=_tallies(archive, sizes_of(train)))


def _tallies(archive: Archive, sizes: Mapping[str, int]) -> dict[str, Tally]:
    tries: Counter[str] = Counter()
    gains: Counter[str] = Counter()
    for node in archive.nodes[1:]:
        assert node.parent is not None
        gained = alpha(node, sizes) > alpha(archive.nodes[node.parent], sizes)
        tries.update(kinds_of(node.policy))
        gains.update(kinds_of(node.policy) if gained else ())
    return {kind: Tally(tries[kind], gains[kind]) for kind in sorted(tries)}
