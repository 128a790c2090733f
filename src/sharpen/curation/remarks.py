"""Feedback on an answer as a turn of the dialogue, the refined answer after it, and who can check both.

The dialogue goes: question, answer, `check`, feedback, `again`, refined answer. Feedback ends in a verdict
that is read from its last line alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sharpen.core.task import Message, Role, Task
from sharpen.judges.asking import FIELD, final_field

CHECK, AGAIN = "check", "again"
RIGHT, WRONG = "right", "wrong"
FINE = f"{FIELD}: {RIGHT}"
"""Feedback that finds nothing."""
RESULT = "####"
"""Begins the line of a solution that holds the answer."""


def after(task: Task, said: str, request: str) -> Task:
    """The dialogue that goes on with what was said and a request; reference and metadata stay."""
    turns = (Message(role=Role.ASSISTANT, content=said), Message(role=Role.USER, content=request))
    return task.model_copy(update={"messages": (*task.messages, *turns)})


def all_after(tasks: Sequence[Task], said: Sequence[str], request: str) -> tuple[Task, ...]:
    """One dialogue per task and what was said to it."""
    return tuple(after(task, words, request) for task, words in zip(tasks, said, strict=True))


def approved(feedback: str) -> bool | None:
    """Whether feedback finds an answer right; None where it has no verdict that can be read."""
    word = final_field(feedback, (RIGHT, WRONG))
    return None if word is None else word == RIGHT


class Remark(NamedTuple):
    """What a checker writes."""

    feedback: str
    refined: str


def checked(task: Task, answer: str) -> Remark:
    """What the task's worked solution says of an answer: the result, the first missing step, the verdict.

    A wrong answer is refined to the solution, steps first; a right one is repeated. ValueError for a task
    without a solution that has a result.
    """
    lines, own = (task.solution or "").splitlines(), answer.splitlines()
    results = [line for line in lines if line.startswith(RESULT)]
    if not results:
        raise ValueError(f"task {task.key} has no worked solution with a line {RESULT}")
    steps = [line for line in lines if line not in results]
    missing = [line for line in steps if line not in own]
    wrong = bool(missing) or results[0] not in own
    feedback = "\n".join([results[0], *missing[:1], f"{FIELD}: {WRONG if wrong else RIGHT}"])
    return Remark(feedback, "\n".join([*steps, results[0]]) if wrong else answer)
