"""From attempts to items of a memory, and the questions a model is asked on the way.

The log of an attempt holds the question and the policy's own moves; the reference answer is never in it
unless the policy gave it, and the memory refuses it on insertion then.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

from sharpen.core.attempt import TEACHES, Attempt
from sharpen.core.policy import Policy
from sharpen.core.run import Scope
from sharpen.core.task import Task
from sharpen.stores.memory import Draft, Item, Leaning, Use

MOST_LOG = 400
"""Characters of a log that are kept, from its end."""
_TAG = re.compile(r"<(\w+)>")


def log_of(task: Task, attempt: Attempt) -> str:
    """Question and moves in one line, without tags."""
    moves = [turn.text.strip() for turn in attempt.turns if turn.author in TEACHES]
    return " / ".join([task.question, *(" ".join(_TAG.sub(r"\1", move).split()) for move in moves)])[
        -MOST_LOG:
    ]


def summary_question(task: Task, attempt: Attempt, succeeded: bool) -> Task:
    """Ask for what is to be learnt from an attempt."""
    return Task.ask(f"note {'right' if succeeded else 'wrong'}: {log_of(task, attempt)}", "")


def match_question(one: str, other: str) -> Task:
    """Ask whether two texts give the same advice."""
    return Task.ask(f"same: {one} = {other}", "yes" if one == other else "no")


def says_yes(response: str) -> bool:
    """Whether a reply to `match_question` is a yes."""
    return response.strip().casefold().startswith("yes")


def summarised(response: str, succeeded: bool) -> Item:
    """The reply to `summary_question` as an item, in one line."""
    return Item(text=" ".join(response.split()), leaning=_leaning(succeeded))


def by_template(task: Task, attempt: Attempt, succeeded: bool) -> Item:
    """What a sure hand would write: the task's topic and the last thought, as a warning if it failed."""
    topic = str(task.metadata.get("topic", ""))
    thoughts = re.findall(r"<think>([^<]*)", attempt.response)
    thought = thoughts[-1].strip() if thoughts else ""
    words = (topic, thought) if succeeded else (topic, "not" if thought else "", thought)
    return Item(text=" ".join(word for word in words if word), leaning=_leaning(succeeded))


def raw(task: Task, attempt: Attempt, succeeded: bool, answers: Collection[str]) -> Item:
    """The attempt's log as it stands, with reference answers blotted out."""
    text = log_of(task, attempt)
    for answer in sorted(answers, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(answer)}(?!\w)", "?", text, flags=re.IGNORECASE)
    return Item(text=text, leaning=_leaning(succeeded))


class Tried(NamedTuple):
    """An attempt at a task, and whether it went well."""

    task: Task
    attempt: Attempt
    succeeded: bool

    def draft(self, item: Item) -> Draft:
        """An item as learnt from this attempt."""
        name = f"{self.attempt.task}/{self.attempt.round}/{self.attempt.index}"
        return Draft(item=item, question=self.task.key, attempt=name, succeeded=self.succeeded)

    @property
    def use(self) -> Use:
        """What the attempt was shown, by its outcome's fact `retrieved`."""
        shown = self.attempt.outcome.get("retrieved", [])
        names = tuple(str(name) for name in shown) if isinstance(shown, list) else ()
        return Use(attempt=self.attempt.task, items=names, succeeded=self.succeeded)


def tried(outcomes: Sequence[tuple[Attempt, bool]], tasks: Sequence[Task]) -> list[Tried]:
    """Attempts with their tasks."""
    by_key = {task.key: task for task in tasks}
    return [Tried(by_key[attempt.task], attempt, succeeded) for attempt, succeeded in outcomes]


def summaries(scope: Scope, writer: Policy, tried: Sequence[Tried]) -> list[Item]:
    """What a model says is to be learnt from each attempt, sampled at temperature 1."""
    if not tried:
        return []
    replies = scope.attempt(writer, [summary_question(*one) for one in tried], temperature=1.0)
    return [summarised(reply.response, one.succeeded) for reply, one in zip(replies, tried, strict=True)]


def agreed(scope: Scope, judge: Policy, pairs: Sequence[tuple[Item, Item]]) -> list[tuple[str, str]]:
    """Ids of the pairs that a model takes for the same advice; equal pairs are asked about once."""
    questions = {(one.id, other.id): match_question(one.text, other.text) for one, other in pairs}
    if not questions:
        return []
    replies = scope.attempt(judge, list(questions.values()), temperature=0.0)
    return [ids for ids, reply in zip(questions, replies, strict=True) if says_yes(reply.response)]


def _leaning(succeeded: bool) -> Leaning:
    return Leaning.GUIDING if succeeded else Leaning.CAUTIONARY
