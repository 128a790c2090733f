"""How long a teacher's solutions to such problems usually are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean

from sharpen.core.task import Task


def usual_lengths(solved: Sequence[Task], tasks: Sequence[Task]) -> dict[str, float]:
    """By key of each task, the mean length in characters of the worked solutions to problems like it.

    Alike are problems with as many words; without a solved one like it, a task gets the mean of all.
    ValueError if nothing is solved.
    """
    found: dict[int, list[int]] = defaultdict(list)
    for task in solved:
        found[_words(task)].append(len(task.solution or ""))
    if not found:
        raise ValueError("no task has a worked solution")
    overall = [length for lengths in found.values() for length in lengths]
    return {task.key: fmean(found.get(_words(task), overall)) for task in tasks}


def _words(task: Task) -> int:
    return len(task.question.split())
