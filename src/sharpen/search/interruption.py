"""Answers with words from outside: at given lengths a model is interrupted, and goes on after the words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from statistics import fmean
from typing import NamedTuple

from sharpen.core.attempt import Attempt, Stop
from sharpen.core.policy import Decoding, Policy
from sharpen.core.run import Scope
from sharpen.core.task import Task
from sharpen.core.verdict import value_of
from sharpen.curation.own_words import opened
from sharpen.monitors.correction import Correction, from_samples


class Interruption(NamedTuple):
    """How answers are interrupted."""

    words: str
    """What is put in."""
    limits: tuple[int, ...]
    """Drawn tokens at which it is, growing; the last one is the most that may be drawn."""
    boundary: str
    """An unfinished answer is cut back to the last of these first; empty cuts nothing."""
    after_end: bool
    """Whether an answer that ends before a limit gets the words then; else it is left as it is."""
    temperature: float


class Told(NamedTuple):
    """An answer, how it stood when it first ended, and its price."""

    attempt: Attempt
    first: Attempt
    tokens: int
    """Drawn and put in, with what was cut."""
    times: int
    """Of interruptions."""


def interrupted(scope: Scope, policy: Policy, tasks: Sequence[Task], how: Interruption) -> list[Told]:
    """One answer to each task, in order."""
    first = Decoding(how.temperature, max_tokens=how.limits[0])
    told = [Told(a, a, a.token_count, 0) for a in scope.attempt(policy, tasks, decoding=first)]
    for before, limit in pairwise(how.limits):
        going = [one.attempt.stop is Stop.LENGTH or how.after_end for one in told]
        old = [one for one, goes in zip(told, going, strict=True) if goes]
        begun = opened(scope, policy, [one.attempt for one in old], how.boundary)
        further = first._replace(max_tokens=limit - before)
        new = iter(scope.go_on(policy, begun, tasks, inject=how.words, decoding=further))
        told = [_after(one, next(new)) if goes else one for one, goes in zip(told, going, strict=True)]
    return told


def _after(one: Told, attempt: Attempt) -> Told:
    spent = sum(len(turn.token_ids) for turn in attempt.turns[-2:])
    return Told(
        attempt=attempt,
        first=attempt if one.first.stop is Stop.LENGTH else one.first,
        tokens=one.tokens + spent,
        times=one.times + 1,
    )


def for_tokens(
    scope: Scope, policy: Policy, tasks: Sequence[Task], how: Interruption, tokens: int
) -> dict[str, list[Told]]:
    """By task, as many answers as so many tokens pay for, one at least: the same price for every way."""
    found: dict[str, list[Told]] = {task.key: [] for task in tasks}
    waiting = list(tasks)
    while waiting:
        for one in interrupted(scope, policy, waiting, how):
            found[one.attempt.task].append(one)
        waiting = [task for task in waiting if sum(one.tokens for one in found[task.key]) < tokens]
    return {task: affordable(told, tokens) for task, told in found.items()}


def affordable(told: Sequence[Told], tokens: int) -> list[Told]:
    """The first answers that so many tokens pay for, one at least."""
    prices = list(accumulate(one.tokens for one in told))
    return list(told[: max(1, sum(price <= tokens for price in prices))])


def price(told: Sequence[Told]) -> dict[str, float]:
    """Answers of one task in numbers."""
    tokens = sum(one.tokens for one in told)
    return {"answers": len(told), "tokens": tokens, "triggers": fmean(one.times for one in told)}


def effect(scope: Scope, policy: Policy, tasks: Sequence[Task], how: Interruption) -> Correction | None:
    """What the words alone do to answers: each is finished once without and once with one interruption."""
    decoding = Decoding(how.temperature, max_tokens=how.limits[-1])
    names, ends = list[str](), {words: list[float | None]() for words in ("", how.words)}
    for limit in how.limits[:-1]:
        begun = scope.attempt(policy, tasks, decoding=decoding._replace(max_tokens=limit))
        starts = opened(scope, policy, begun, how.boundary)
        for words, values in ends.items():
            finished = scope.go_on(policy, starts, tasks, inject=words, decoding=decoding)
            values += map(value_of, scope.judge(finished, tasks))
        names += [attempt.task for attempt in begun]
    return from_samples(names, *ends.values())
