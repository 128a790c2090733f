"""Leaving out what says the same as something before it: a filter for made tasks, and for several answers.

What counts as the same is said in sharpen.tasks.duplicates: texts whose word pairs overlap by nine tenths and
that hold the same numbers in the same order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from sharpen.core.attempt import Attempt
from sharpen.core.records import canonical
from sharpen.core.task import Task
from sharpen.tasks.duplicates import Index, clusters, told


def start_text(task: Task) -> str:
    """All that tells a task from another before it is tried: question, pictures, world and private views."""
    rest = [task.world, dict(task.views)] if task.world is not None or task.views else None
    return told(task) if rest is None else f"{told(task)} {canonical(rest).decode()}"


def new_tasks(tasks: Sequence[Task], known: Sequence[Task] = ()) -> tuple[Task, ...]:
    """The tasks that are like none of the known ones and like none before them, in order."""
    index, texts = Index([start_text(task) for task in known]), [start_text(task) for task in tasks]
    firsts = clusters(texts)
    return tuple(
        task for place, task in enumerate(tasks) if firsts[place] == place and not index.like(texts[place])
    )


def new_attempts(attempts: Sequence[Attempt]) -> tuple[Attempt, ...]:
    """The attempts whose response is like none before it at the same task, in order."""
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for place, attempt in enumerate(attempts):
        groups[attempt.task].append(place)
    kept = []
    for places in groups.values():
        firsts = clusters([attempts[place].response for place in places])
        kept += [place for nth, place in enumerate(places) if firsts[nth] == nth]
    return tuple(attempts[place] for place in sorted(kept))
