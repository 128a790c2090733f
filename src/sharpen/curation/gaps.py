"""What an improver of given answers learns from preference pairs: the answers as improvements of each other.

A shift takes references away from their questions, for ablations: shown is then the reference of the pair so
many places on.
"""

from __future__ import annotations

from collections.abc import Sequence

from sharpen.core.attempt import Attempt, Provenance
from sharpen.core.policy import PromptForm
from sharpen.core.task import Task
from sharpen.curation.asked_again import asked_again
from sharpen.curation.batch import Batch, batch_of
from sharpen.curation.pairs import Pairs
from sharpen.curation.rated import Rated, Ratings
from sharpen.curation.select import moved_to


def shifted(texts: Sequence[str], shift: int) -> list[str]:
    """The texts, turned round by so many places."""
    return [*texts[shift:], *texts[:shift]]


def as_improvement(answer: Attempt, task: Task, reference: str, form: PromptForm) -> Attempt:
    """An answer under the prompt that shows a reference, still named after the question."""
    moved = moved_to(answer, asked_again(task, reference), form, Provenance.SPLICED)
    return moved.model_copy(update={"task": task.key})


def improvements(pairs: Pairs, tasks: Sequence[Task], form: PromptForm, shift: int = 0) -> Batch:
    """The better answers as improvements of the worse ones; KeyError for a pair of none of the tasks."""
    by_key = {task.key: task for task in tasks}
    shown = shifted([pair.worse.response for pair in pairs.items], shift)
    rows = zip(pairs.items, shown, strict=True)
    return batch_of(as_improvement(p.better, by_key[p.better.task], text, form) for p, text in rows)


def gaps(pairs: Pairs, tasks: Sequence[Task], form: PromptForm, shift: int = 0) -> Ratings:
    """Both answers w and l of a pair after both as references, for a reward on the gap (arXiv 2310.00898).

    With g_ij the gap of i over j, values order g_wl above g_ww and g_ll, and these above g_lw; g_ww and g_ll
    are equal, so that listwise learning does not compare them.
    """
    by_key = {task.key: task for task in tasks}
    better = shifted([pair.better.response for pair in pairs.items], shift)
    worse = shifted([pair.worse.response for pair in pairs.items], shift)
    found = [
        Rated(
            attempt=as_improvement(answer, by_key[answer.task], reference, form),
            values=((1.0 + up - down) / 2,),
        )
        for pair, high, low in zip(pairs.items, better, worse, strict=True)
        for answer, up in ((pair.better, 1.0), (pair.worse, 0.0))
        for reference, down in ((high, 1.0), (low, 0.0))
    ]
    return Ratings(items=tuple(found))


def single(pairs: Pairs) -> Ratings:
    """The better answers as worth 1, the worse ones as worth 0."""
    rows = ((answer, value) for p in pairs.items for answer, value in ((p.better, 1.0), (p.worse, 0.0)))
    return Ratings(items=tuple(Rated(attempt=answer, values=(value,)) for answer, value in rows))
