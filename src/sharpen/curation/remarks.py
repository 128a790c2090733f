"""Feedback on an answer as a turn of the dialogue, the refined answer after it, and who can check both.

The dialogue goes: question, answer, `check`, feedback, `again`, refined answer. Feedback ends in a verdict
that is read from its last line alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sharpen.core.attempt import Attempt, Provenance
from sharpen.core.policy import Policy
from sharpen.core.task import Message, Role, Task
from sharpen.curation.batch import Batch, Item
from sharpen.curation.select import written
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


def annotated(tasks: Sequence[Task], answers: Sequence[Attempt], policy: Policy, direct: float) -> Batch:
    """What the checker writes of answers, and of its refined answers, which it approves and repeats.

    To each of both: feedback, then the answer after it, each in its dialogue. Last, with the weight `direct`,
    refined answers to the bare questions.
    """
    said = [answer.response for answer in answers]
    better = [checked(task, words).refined for task, words in zip(tasks, said, strict=True)]
    pairs = zip((*tasks, *tasks), (*said, *better), strict=True)
    once = {(task.key, words): (task, words) for task, words in pairs}
    learnt = [row for task, words in once.values() for row in _dialogue(task, words)]
    bare = [(task, words, direct) for task, words in zip(tasks, better, strict=True) if direct]
    return Batch(
        items=tuple(
            Item(attempt=_put(task, text, policy), weight=weight) for task, text, weight in (*learnt, *bare)
        )
    )


def _dialogue(task: Task, words: str) -> list[tuple[Task, str, float]]:
    note, check = checked(task, words), after(task, words, CHECK)
    return [(check, note.feedback, 1.0), (after(check, note.feedback, AGAIN), note.refined, 1.0)]


def solved(tasks: Sequence[Task], policy: Policy) -> Batch:
    """Questions with the answers that the checker makes of nothing."""
    return Batch(items=tuple(Item(attempt=_put(task, checked(task, "").refined, policy)) for task in tasks))


def _put(task: Task, text: str, policy: Policy) -> Attempt:
    """The checker's words as an attempt."""
    return written(task, policy.prompt, text, policy=policy.version, provenance=Provenance.DISTILLED)
