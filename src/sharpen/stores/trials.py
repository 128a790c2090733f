"""Trying a library out: which skills answer which tasks, how good the routing is, a skill by itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sharpen.core.artifact import Kind
from sharpen.core.attempt import Attempt
from sharpen.core.budget import Purpose
from sharpen.core.policy import Policy
from sharpen.core.run import Scope
from sharpen.core.task import Task
from sharpen.core.verdict import Verdict, value_of
from sharpen.curation.changed_tasks import renumbered
from sharpen.monitors.flows import flows
from sharpen.stores.routing import PART
from sharpen.stores.skills import Install, Library, leaks, read_library


class Tried(NamedTuple):
    """What came of a task: who answered what, whether it was right, and who would have been right."""

    task: Task
    skill: str
    said: str
    right: bool
    able: tuple[str, ...]


def library_of(it: Scope, policy: Policy) -> Library:
    """The library that a policy acts by."""
    part = policy.parts.get(Kind.SKILLS)
    return read_library(policy, it.contents(part) if part else {})


def sweep(it: Scope, policy: Policy, tasks: Sequence[Task], top_k: int = 1) -> list[Tried]:
    """Try every task with the first `top_k` skills of its ranking; the first one's answer counts."""
    if not tasks:
        return []
    attempts = it.attempt(policy, tasks, samples=top_k, temperature=0.0)
    rows = list(zip(attempts, it.judge(attempts, tasks), strict=True))
    return [_tried(task, rows[i * top_k : (i + 1) * top_k]) for i, task in enumerate(tasks)]


def _tried(task: Task, rows: Sequence[tuple[Attempt, Verdict]]) -> Tried:
    right = [(value_of(verdict) or 0.0) > 0.5 for _, verdict in rows]
    skills = [str(attempt.outcome["skill"]) for attempt, _ in rows]
    able = dict.fromkeys(skill for skill, good in zip(skills, right, strict=True) if good)
    return Tried(task, skills[0], rows[0][0].response, right[0], tuple(able))


def passes(it: Scope, policy: Policy, candidate: Policy, failed: Task, train: Sequence[Task]) -> bool:
    """Unit test of the candidate's new skill by itself, without its router.

    It answers the failed task right, answers copies of it with other numbers at all, and its files hold no
    answer of a training task, which would mean that it knows instead of computes.
    """
    before = library_of(it, policy).skills
    (skill,) = (skill for skill in library_of(it, candidate).skills if skill not in before)
    alone = it.update(Install(), candidate, Library(skills=(skill,)))
    right = sweep(it, alone, (failed,))[0].right
    answered = all(attempt.response for attempt in it.attempt(alone, renumbered(failed), temperature=0.0))
    return right and answered and not leaks(skill, train)


def replayed(it: Scope, policy: Policy, solved: Iterable[Tried]) -> bool:
    """Whether everything that was solved still is."""
    return all(tried.right for tried in sweep(it, policy, [tried.task for tried in solved]))


def broken(it: Scope, before: Policy, after: Policy, tasks: Sequence[Task]) -> int:
    """Validation tasks that were right before and are not after."""
    scores = (it.evaluate(policy, tasks, name="val").values for policy in (before, after))
    return flows(*scores).right_to_wrong


def standing(it: Scope, policy: Policy, tasks: Sequence[Task]) -> dict[str, float]:
    """A library on validation tasks: its size, the share that written skills answer, the routers' recall."""
    attempts = it.evaluate(policy, tasks, name="val").attempts
    learned = [float(attempt.outcome["learned"] == 1.0) for attempt in attempts]
    place = it.scope("recall", purpose=Purpose.EVALUATION)
    size = {"skills": float(len(library_of(it, policy))), "triggered": mean(learned)}
    return {**size, **recall(place, policy, tasks)}


def recall(it: Scope, policy: Policy, tasks: Sequence[Task]) -> dict[str, float]:
    """Recall@1 of the policy's router and of BM25, over the tasks that some skill answers right."""
    able = [tried for tried in sweep(it, policy, tasks, len(library_of(it, policy))) if tried.able]
    both = {"router": able, "bm25": sweep(it, policy.without_part(PART), [tried.task for tried in able])}
    return {f"recall_{name}": mean([t.right for t in tries]) for name, tries in both.items() if tries}


def mean(values: Sequence[float]) -> float:
    """Mean of at least one number."""
    return sum(values) / len(values)
