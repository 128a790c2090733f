"""Selectors: which attempts of a round are worth learning from."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from math import exp
from typing import NamedTuple, TypeVar

from sharpen.core.attempt import Attempt, Author, Provenance, Stop, Turn
from sharpen.core.policy import PromptForm
from sharpen.core.task import Task
from sharpen.core.verdict import Verdict, value_of
from sharpen.curation.batch import Batch, Item

T = TypeVar("T")


def rewards_of(verdicts: Sequence[Verdict]) -> tuple[float | None, ...]:
    """The verifier's values as rewards; None where the verifier failed."""
    return tuple(value_of(verdict) for verdict in verdicts)


def confidence(attempt: Attempt) -> float:
    """2 p - 1, with p the geometric mean probability of the policy's tokens: in [-1, 1]."""
    logprobs = [x for turn in attempt.turns if turn.author is Author.POLICY for x in turn.logprobs or ()]
    return 2 * exp(sum(logprobs) / len(logprobs)) - 1 if logprobs else -1.0


def best_per_task(
    attempts: Sequence[Attempt],
    rewards: Sequence[float | None],
    *,
    above: float,
    per_task: int,
    target: int | None = None,
) -> Batch:
    """Keep distinct finished responses with reward > `above`, best first, at most `per_task` a task.

    With a `target`, the cap per task grows 1, 2, ... up to `per_task` only until `target` are kept, so
    that easy tasks do not flood the batch.
    """
    ranked = _ranked_by_task(attempts, rewards, above)
    for cap in range(1, per_task + 1):
        kept = [attempt for group in ranked for attempt in group[:cap]]
        if target is not None and len(kept) >= target:
            kept = kept[:target]
            break
    return Batch(items=tuple(Item(attempt=attempt) for attempt in kept))


def right_answers(attempts: Sequence[Attempt], verdicts: Sequence[Verdict], *, per_task: int = 4) -> Batch:
    """Distinct finished responses that were judged right, at most `per_task` a task."""
    return best_per_task(attempts, rewards_of(verdicts), above=0.5, per_task=per_task)


def _ranked_by_task(
    attempts: Sequence[Attempt], rewards: Sequence[float | None], above: float
) -> list[list[Attempt]]:
    groups: dict[str, dict[str, tuple[float, Attempt]]] = defaultdict(dict)
    for attempt, reward in zip(attempts, rewards, strict=True):
        if reward is not None and reward > above and attempt.stop is not Stop.LENGTH:
            groups[attempt.task].setdefault(attempt.response, (reward, attempt))
    return [
        [attempt for _, attempt in sorted(group.values(), key=lambda pair: -pair[0])]
        for group in groups.values()
    ]


def demonstrations(tasks: Sequence[Task], form: PromptForm, *, policy: str) -> tuple[Attempt, ...]:
    """The tasks' own worked solutions as attempts of provenance HUMAN; tasks without one are left out."""
    return tuple(
        written(task, form, task.solution, policy=policy, provenance=Provenance.HUMAN)
        for task in tasks
        if task.solution
    )


def written(
    task: Task,
    form: PromptForm,
    response: str,
    *,
    policy: str,
    provenance: Provenance,
    author: Author = Author.TEACHER,
) -> Attempt:
    """An attempt made of text, as if the policy had been asked in the plain form of its prompt."""
    return Attempt(
        task=task.key,
        index=0,
        policy=policy,
        turns=(
            Turn(author=Author.TEMPLATE, text=form.text(task)),
            Turn(author=author, text=" " + response),
        ),
        provenance=provenance,
    )


def moved_to(attempt: Attempt, task: Task, form: PromptForm, provenance: Provenance) -> Attempt:
    """The attempt's response under another task's prompt, as in rationalization: the hint is gone."""
    prompt = Turn(author=Author.TEMPLATE, text=form.text(task))
    return attempt.model_copy(
        update={"task": task.key, "turns": (prompt, *attempt.turns[1:]), "provenance": provenance}
    )


def clean(attempt: Attempt, most: int = 2) -> bool:
    """Whether a response came to an end and has no line more than `most` times."""
    lines = Counter(attempt.response.splitlines())
    return attempt.stop is not Stop.LENGTH and max(lines.values(), default=0) <= most


def unsolved(
    tasks: Sequence[Task], attempts: Sequence[Attempt], verdicts: Sequence[Verdict]
) -> tuple[Task, ...]:
    """The tasks without a single right attempt."""
    solved = {
        attempt.task
        for attempt, verdict in zip(attempts, verdicts, strict=True)
        if (value_of(verdict) or 0.0) > 0.5
    }
    return tuple(task for task in tasks if task.key not in solved)


def right_places(verdicts: Sequence[Verdict]) -> list[int]:
    """Places of the verdicts that say right."""
    return [place for place, verdict in enumerate(verdicts) if (value_of(verdict) or 0.0) > 0.5]


def solved_between(
    attempts: Sequence[Attempt], verdicts: Sequence[Verdict], least: int, most: int
) -> tuple[str, ...]:
    """Keys of the tasks with at least so many and at most so many right attempts, in order."""
    right: Counter[str] = Counter()
    for attempt, verdict in zip(attempts, verdicts, strict=True):
        right[attempt.task] += (value_of(verdict) or 0.0) > 0.5
    return tuple(task for task, count in right.items() if least <= count <= most)


def merged(*batches: Batch) -> Batch:
    """Batches one after the other."""
    return Batch(items=tuple(item for batch in batches for item in batch.items))


def taken(tasks: Sequence[T], round: int, count: int) -> tuple[T, ...]:
    """The `count` tasks of a round (from 1): one after the other, from the start again at the end."""
    size = min(count, len(tasks))
    return tuple(tasks[((round - 1) * size + place) % len(tasks)] for place in range(size))


class Outcome(NamedTuple):
    """An attempt and whether it went well."""

    attempt: Attempt
    succeeded: bool


def balanced(
    attempts: Sequence[Attempt], verdicts: Sequence[Verdict], *, share: float
) -> tuple[Outcome, ...]:
    """Of each task's attempts a share, at least one: at most half of them successes, the rest failures."""
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for attempt, verdict in zip(attempts, verdicts, strict=True):
        if (value := value_of(verdict)) is not None:
            groups[attempt.task].append(Outcome(attempt, value > 0.5))
    return tuple(
        outcome for group in groups.values() for outcome in _half(group, max(1, int(share * len(group))))
    )


def _half(group: Sequence[Outcome], count: int) -> list[Outcome]:
    good = [outcome for outcome in group if outcome.succeeded][: (count + 1) // 2]
    return [*good, *[outcome for outcome in group if not outcome.succeeded][: count - len(good)]]
