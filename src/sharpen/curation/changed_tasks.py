"""Tasks made of tasks: with exchanged answers, for ablations; with other digits, as questions like them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sharpen.core.seeds import random_for
from sharpen.core.task import Task


def exchanged(tasks: Sequence[Task]) -> tuple[Task, ...]:
    """The tasks with the answers of the next family: what is learnt of a family does not hold elsewhere.

    With a single family each task gets the answer of the task after it.
    """
    families = list(dict.fromkeys(task.family for task in tasks))
    answers = {name: [task.answer for task in tasks if task.family == name] for name in families}
    place = dict.fromkeys(families, 0)
    found = []
    for task in tasks:
        others = answers[families[(families.index(task.family) + 1) % len(families)]]
        place[task.family] += 1
        found.append(task.model_copy(update={"answer": others[place[task.family] % len(others)]}))
    return tuple(found)


def renumbered(task: Task, copies: int = 4) -> tuple[Task, ...]:
    """Different copies of a question with other digits in the place of its own; their answers are unknown."""
    rng = random_for("renumbered", task.key)
    texts = [re.sub(r"[1-9]", lambda _: str(rng.randint(1, 9)), task.question) for _ in range(copies)]
    return tuple(Task.ask(text, "unknown") for text in dict.fromkeys(texts))
