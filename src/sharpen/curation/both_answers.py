"""Right and wrong answers as a policy tells them apart itself, out of one reply that was asked for both."""

from __future__ import annotations

from collections.abc import Sequence

from sharpen.core.attempt import Attempt, Author, Provenance
from sharpen.core.policy import PromptForm
from sharpen.core.records import Record
from sharpen.core.task import Task
from sharpen.curation.pairs import Pair, Pairs, Preferred
from sharpen.curation.select import written

LONGEST = 500
"""Characters of an answer beyond which a reply does not count as having the form."""


class Marks(Record):
    """How both answers are asked for, and what stands before each in the reply."""

    request: str = "Give one correct and one incorrect answer."
    right: str = "Correct answer:"
    wrong: str = "Incorrect answer:"


class Told(Record):
    """What was said to be right and wrong."""

    task: str
    """Key of the task that both answer."""
    right: str
    wrong: str


class AllTold(Record):
    """Of different tasks, in order."""

    items: tuple[Told, ...]

    def __len__(self) -> int:
        return len(self.items)


def asked_for_both(task: Task, marks: Marks) -> Task:
    """The task with the request after its question."""
    message = task.messages[-1]
    asked = message.model_copy(update={"content": f"{message.content} {marks.request}"})
    return task.model_copy(update={"messages": (*task.messages[:-1], asked)})


def told(tasks: Sequence[Task], replies: Sequence[Attempt], marks: Marks) -> AllTold:
    """The answers in the reply to each task's request; replies without the form are left out.

    It has the form if each mark stands there once, in order, with another short answer behind each.
    """
    found = []
    for task, reply in zip(tasks, replies, strict=True):
        _, first, rest = reply.response.partition(marks.right)
        right, second, wrong = (part.strip() for part in rest.partition(marks.wrong))
        short = 0 < len(right) <= LONGEST and 0 < len(wrong) <= LONGEST
        if first and second and short and right != wrong and marks.wrong not in wrong:
            found.append(Told(task=task.key, right=right, wrong=wrong))
    return AllTold(items=tuple(found))


def refreshed(old: AllTold, new: AllTold) -> AllTold:
    """The old answers with the right ones of the new, but for those that are the old wrong ones."""
    known = {one.task: one.right for one in new.items}
    pairs = [(one, known.get(one.task, one.right)) for one in old.items]
    return AllTold(
        items=tuple(
            one.model_copy(update={"right": text}) if text != one.wrong else one for one, text in pairs
        )
    )


def preferring_right(tasks: Sequence[Task], answers: AllTold, form: PromptForm) -> Pairs:
    """The right answers over the wrong ones, each under the bare question."""
    by_key = {task.key: task for task in tasks}
    return Pairs(
        items=tuple(
            Pair(
                better=given(by_key[one.task], form, one.right),
                worse=given(by_key[one.task], form, one.wrong),
                by=Preferred.SELF,
            )
            for one in answers.items
        )
    )


def given(task: Task, form: PromptForm, text: str) -> Attempt:
    """A text as if the policy had answered so when it was asked in the plain form of its prompt."""
    own, spliced = Author.POLICY, Provenance.SPLICED
    return written(task, form, text, policy="given", provenance=spliced, author=own)
