"""A question put once more after earlier answers to it, and after what was said of them, if anything was."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from sharpen.core.attempt import Attempt, Provenance
from sharpen.core.policy import PromptForm
from sharpen.core.records import Record
from sharpen.core.task import Message, Role, Task
from sharpen.core.verdict import Verdict, value_of
from sharpen.curation.batch import Batch, Item
from sharpen.curation.select import moved_to


class Wording(StrEnum):
    """How a question is put again."""

    NEUTRAL = "neutral"
    """The same question, word for word."""
    CONFIDENT = "confident"
    """With the advice to trust the first answer."""
    CRITICAL = "critical"
    """With the advice to doubt it."""
    DIVERGE = "diverge"
    """With the request for another way to answer."""


class Shown(StrEnum):
    """Which answer stands in the dialogues that are learnt from."""

    OWN = "own"
    """One to the same question."""
    SHUFFLED = "shuffled"
    """One to another question: nothing can be learnt of improving it; for ablations."""

    def among(self, answers: Sequence[Attempt]) -> list[str]:
        """What is shown in the place of each answer: itself, or the next one to another question."""
        if self is Shown.OWN:
            return [answer.response for answer in answers]
        turned = ((one, [*answers[place:], *answers[:place]]) for place, one in enumerate(answers))
        return [next((o for o in others if o.task != one.task), one).response for one, others in turned]


ADVICE = {
    Wording.NEUTRAL: "",
    Wording.CONFIDENT: "Trust your first answer, and change it only if you are sure that it is wrong.",
    Wording.CRITICAL: "Doubt your first answer, look for a mistake in it, and answer anew.",
    Wording.DIVERGE: "Answer in another way.",
}


def asked_again(task: Task, answer: str, wording: Wording = Wording.NEUTRAL, *, feedback: str = "") -> Task:
    """The task with an answer to its question in the dialogue, and the question after it once more.

    Reference and metadata stay, so the same verifier judges the second answer. Prompt forms render the
    dialogue: as `Q: ...\\nA: ...` blocks in the plain style, as user and assistant turns in the chat style.
    """
    return dialogue(task, [(answer, feedback)], wording)


def dialogue(task: Task, said: Sequence[tuple[str, str]], wording: Wording = Wording.NEUTRAL) -> Task:
    """The task after answers to its question, each with the words on it; after each the question again."""
    messages = list(task.messages)
    for answer, feedback in said:
        again = "\n".join(text for text in (feedback.strip(), task.question, ADVICE[wording]) if text)
        messages.append(Message(role=Role.ASSISTANT, content=answer.strip()))
        messages.append(task.messages[-1].model_copy(update={"content": again, "pictures": ()}))
    return task.model_copy(update={"messages": tuple(messages)})


def all_asked_again(
    tasks: Sequence[Task], firsts: Sequence[Attempt], wording: Wording = Wording.NEUTRAL
) -> tuple[Task, ...]:
    """One dialogue per first answer, in order; equal answers to one question make equal tasks.

    KeyError if an attempt is at none of the tasks.
    """
    by_key = {task.key: task for task in tasks}
    return tuple(asked_again(by_key[first.task], first.response, wording) for first in firsts)


def answered(context: Attempt, words: Attempt) -> Attempt:
    """The one attempt's prompt, answered with the other's words, token for token."""
    return context.model_copy(
        update={
            "turns": (context.turns[0], *words.turns[1:]),
            "stop": words.stop,
            "provenance": Provenance.SPLICED,
        }
    )


def under_another_request(
    tasks: Sequence[Task],
    first: Sequence[Attempt],
    second: Sequence[Attempt],
    wording: Wording,
    form: PromptForm,
) -> Batch:
    """First answers, second ones, and these once more under a request in other words.

    Learning it teaches what the words ask for, and nothing of what is right: no label is looked at.
    """
    moved = (
        moved_to(two, asked_again(task, one.response, wording), form, Provenance.SPLICED)
        for task, one, two in zip(tasks, first, second, strict=True)
    )
    return Batch(items=tuple(Item(attempt=attempt) for attempt in (*first, *second, *moved)))


class Pair(Record):
    """A first answer and the second one, with what is held of both."""

    first: Attempt
    second: Attempt
    right: bool
    """Whether the first answer is held to be right."""
    mended: bool
    """Whether the second answer is held to be right."""


def pairs_of(
    first: Sequence[Attempt], marks: Sequence[Verdict], second: Sequence[Attempt], after: Sequence[Verdict]
) -> tuple[Pair, ...]:
    """Answers with their successors; pairs with an unknown verdict are left out."""
    values = zip(map(value_of, marks), map(value_of, after), strict=True)
    return tuple(
        Pair(first=one, second=two, right=a > 0.5, mended=b > 0.5)
        for one, two, (a, b) in zip(first, second, values, strict=True)
        if a is not None and b is not None
    )
