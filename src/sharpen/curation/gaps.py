"""What an improver of given answers learns from preference pairs: answers as improvements of each other."""

from __future__ import annotations

from collections.abc import Sequence

from sharpen.core.attempt import Attempt, Provenance
from sharpen.core.policy import PromptForm
from sharpen.core.task import Task
from sharpen.curation.asked_again import Shown, asked_again
from sharpen.curation.batch import Batch, batch_of
from sharpen.curation.pairs import Pairs
from sharpen.curation.rated import Rated, Ratings
from sharpen.curation.select import moved_to


def as_improvement(answer: Attempt, task: Task, reference: str, form: PromptForm) -> Attempt:
    """An answer under the prompt that shows a reference, still named after the question."""
    moved = moved_to(answer, asked_again(task, reference), form, Provenance.SPLICED)
    return moved.model_copy(update={"task": task.key})


def improvements(pairs: Pairs, tasks: Sequence[Task], form: PromptForm, shown: Shown = Shown.OWN) -> Batch:
    """The better answers as improvements of the worse ones; KeyError for a pair of none of the tasks."""
    by_key = {task.key: task for task in tasks}
    rows = zip(pairs.items, shown.among([pair.worse for pair in pairs.items]), strict=True)
    return batch_of(as_improvement(p.better, by_key[p.better.task], text, form) for p, text in rows)


def gaps(pairs: Pairs, tasks: Sequence[Task], form: PromptForm, shown: Shown = Shown.OWN) -> Ratings:
    """Both answers w and l of a pair after both as references, for a reward on the gap (arXiv 2310.00898).

    With g_ij the gap of i over j, values order g_wl above g_ww and g_ll, and these above g_lw; g_ww and g_ll
    are equal, so that listwise learning does not compare them.
    """
    by_key = {task.key: task for task in tasks}
    better = shown.among([pair.better for pair in pairs.items])
    worse = shown.among([pair.worse for pair in pairs.items])
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
