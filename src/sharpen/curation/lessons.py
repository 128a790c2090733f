"""Questions with answers that were written to be learnt from; some of the answers may be wrong."""

from __future__ import annotations

import random
from collections.abc import Sequence

from sharpen.core.attempt import Provenance
from sharpen.core.policy import PromptForm
from sharpen.core.records import Record
from sharpen.core.task import Task
from sharpen.curation.batch import Batch, Item
from sharpen.curation.select import written
from sharpen.learners.choices import Choices
from sharpen.tasks.mixed import maker

MOST_OFF = 9
"""By how much a wrong answer is off at most."""


class Lessons(Record):
    """Kinds of questions and the questions, one for one."""

    kinds: tuple[str, ...]
    tasks: tuple[Task, ...]


def questions(choices: Choices, rng: random.Random, count: int, error: float) -> Lessons:
    """So many questions of drawn kinds (specs of task families), each answer wrong with chance `error`.

    BadInput for a kind that is no family.
    """
    kinds = choices.draw(rng, count)
    makers = {kind: maker(kind) for kind in choices.logits}
    tasks = (makers[kind](rng) for kind in kinds)
    made = (off(task, rng) if rng.random() < error else task for task in tasks)
    return Lessons(kinds=tuple(kinds), tasks=tuple(made))


def off(task: Task, rng: random.Random) -> Task:
    """The task with a whole number as answer that is a little too large, in the solution's answer line too.

    A task with another answer stays as it is.
    """
    if not task.answer.isdecimal():
        return task
    wrong = str(int(task.answer) + rng.randint(1, MOST_OFF))
    solution = task.solution and task.solution.replace(f"#### {task.answer}", f"#### {wrong}")
    return task.model_copy(update={"answer": wrong, "solution": solution})


def lessons(tasks: Sequence[Task], form: PromptForm) -> Batch:
    """The questions with their worked answers, or with bare ones where there is no more."""
    texts = (task.solution or f"#### {task.answer}" for task in tasks)
    made = (
        written(task, form, text, policy="teacher", provenance=Provenance.DISTILLED)
        for task, text in zip(tasks, texts, strict=True)
    )
    return Batch(items=tuple(Item(attempt=attempt) for attempt in made))
