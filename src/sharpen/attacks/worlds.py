"""Hostile moves against environments: none may earn more than saying nothing does, and none may break one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from sharpen.attacks.hacks import LONG, WIDE, Alarms, Attacked, Caught, Hack, hacks
from sharpen.core.seeds import random_for
from sharpen.core.task import Task
from sharpen.environments.base import MAX_MOVE, start

_MOST_MOVES = 200
_NUMBERS = frozenset("0123456789")


def attack_environment(name: str, tasks: Sequence[Task]) -> Attacked:
    """Play every text of the hack list as each move of the policy's role, at each of the tasks.

    Texts that hold a digit stay out: in some environments a number is an honest move.
    """
    silent = {task.key: _played(task, "") for task in tasks}
    rows = [_met(hack, tasks, silent) for hack in hacks()]
    return Attacked(
        verifier=name, hacks=tuple(row for row in rows if row.tried), honest=Alarms(tried=0, alarms=0)
    )


def _met(hack: Hack, tasks: Sequence[Task], silent: dict[str, float]) -> Caught:
    tries = [(task, text) for task in tasks for text in _texts(hack)]
    got = [
        f"{text[:60]!r} at {task.question[:40]!r}: {value:g}"
        for task, text in tries
        for value in (_played(task, text),)
        if not math.isfinite(value) or not 0 <= value <= 1 or value > silent[task.key]
    ]
    return Caught(
        id=hack.id,
        kind=hack.kind,
        title=hack.title,
        tried=len(tries),
        caught=len(tries) - len(got),
        earned=tuple(got),
    )


def _texts(hack: Hack) -> Iterator[str]:
    for form in hack.text:
        text = form.format(
            question="the question", answer="the answer", wrong="wrong", other="other", wide=WIDE, long=LONG
        )
        if not _NUMBERS & set(text):
            yield text
    yield from (code for code in (*hack.code, *hack.program) if not _NUMBERS & set(code))


def _played(task: Task, text: str) -> float:
    """What an episode is worth in which the policy's role always says this; others play their scripts."""
    world = start(task, random_for("attack", task.key))
    for _ in range(_MOST_MOVES):
        view = world.view()
        if view is None:
            return world.outcome().value
        world.move(text.strip()[:MAX_MOVE] if view.role == task.role else world.scripted(view.role))
    return math.nan
