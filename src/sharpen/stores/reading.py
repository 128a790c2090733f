"""A teacher that reads: what a library tells of a question, as a thought and an answer."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from enum import StrEnum

from pydantic import Field

from sharpen.core.policy import Policy
from sharpen.core.records import Record
from sharpen.core.run import Scope
from sharpen.core.task import Task
from sharpen.stores.knowledge import Library, asked_in, facts_about, graph_of, things
from sharpen.verifiers.answers import final_answer


class Context(StrEnum):
    """What the teacher looks at."""

    BOOK = "book"
    """The passages that retrieval finds."""
    NONE = "none"
    """Nothing: it guesses among all that is said of anything."""


class Reading(Record):
    """How a teacher reads."""

    context: Context = Context.BOOK
    top: int = Field(default=3, ge=1)
    """Passages that retrieval finds."""


class Lesson(Record):
    """What a teacher says to a question."""

    facts: Mapping[str, str]
    """All it knows of the subject, by relation."""
    answer: str


def read(library: Library, question: str, how: Reading, rng: random.Random) -> Lesson | None:
    """What a reader of rules thinks and answers; None if the passages do not tell."""
    graph = graph_of(library.search(question, how.top))
    asked = asked_in(graph, question)
    if asked is None:
        return None
    facts = facts_about(graph, asked.subject)
    if how.context is Context.NONE:
        facts = {relation: rng.choice(things(library.graph, relation)) for relation in facts}
    return Lesson(facts=facts, answer=facts[asked.relation]) if asked.relation in facts else None


def taught(
    it: Scope, library: Library, tasks: Sequence[Task], how: Reading, model: Policy | None = None
) -> list[Lesson | None]:
    """Lessons on questions, in order; a model answers with the passages before it, if one is given."""
    lessons = [read(library, task.question, how, it.random("guess", task.key)) for task in tasks]
    if model is None:
        return lessons
    books = ["\n".join((*library.search(t.question, how.top), t.question)) for t in tasks]
    said = it.attempt(model, [Task.ask(book, "") for book in books], temperature=0.0)
    answers = [final_answer(attempt.response) for attempt in said]
    return [
        one and answer and one.model_copy(update={"answer": answer.text})
        for one, answer in zip(lessons, answers, strict=True)
    ]


def passages_of(task: Task) -> list[str]:
    """The passages that a task holds."""
    found = task.metadata.get("documents")
    return [text for text in found if isinstance(text, str)] if isinstance(found, list) else []
