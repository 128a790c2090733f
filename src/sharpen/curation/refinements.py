"""Refinements: an answer, what was said of it, and the answer that came of that; and what they teach."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from sharpen.core.attempt import Attempt, Provenance
from sharpen.core.policy import PromptForm
from sharpen.core.records import Record
from sharpen.core.task import Task
from sharpen.curation.asked_again import Shown, Wording, asked_again
from sharpen.curation.pairs import Pair, Pairs, Preferred
from sharpen.curation.select import moved_to
from sharpen.search.trees import Tree


class Change(StrEnum):
    """What a refinement did to an answer."""

    MENDED = "mended"
    """From wrong to right."""
    SPOILED = "spoiled"
    """From right to wrong."""
    KEPT = "kept"
    """It stayed as right or wrong as it was."""
    UNKNOWN = "unknown"


class Refinement(Record):
    """Two answers to one question, the second one made from the first."""

    task: str
    """Key of the question, as it was put at first."""
    before: Attempt
    after: Attempt
    feedback: str = ""
    """What was said of the first one, where anything was."""
    by: Preferred = Preferred.SELF
    """Who said it."""
    was: float | None = None
    """Worth of the first one; none if it is not known."""
    now: float | None = None
    turn: int = 1
    """Which refinement it is in its chain, from 1."""

    @property
    def change(self) -> Change:
        """By worths above a half."""
        if self.was is None or self.now is None:
            return Change.UNKNOWN
        if (self.was > 0.5) == (self.now > 0.5):
            return Change.KEPT
        return Change.MENDED if self.now > 0.5 else Change.SPOILED


class Refinements(Record):
    """Refinements, in order."""

    items: tuple[Refinement, ...]

    def __len__(self) -> int:
        return len(self.items)


def from_tree(tree: Tree) -> Refinements:
    """Every revision in a tree of revisions, with the values that the search gave."""
    found = [
        Refinement(
            task=tree.task,
            before=tree.attempt(node.parent),
            after=tree.attempt(number),
            by=Preferred.SEARCH,
            was=tree.nodes[node.parent].value,
            now=node.value,
            turn=len(tree.line(number)) - 2,
        )
        for number, node in enumerate(tree.nodes)
        if tree.revisions and node.parent
    ]
    return Refinements(items=tuple(found))


def later_over_earlier(chains: Sequence[Sequence[Attempt]]) -> Pairs:
    """Of every chain the last answer over the first, if they differ: the rule that asks no judge.

    Both stand under the first one's prompt.
    """
    found = [
        Pair(
            better=under(chain[0], chain[-1]),
            worse=chain[0],
            by=Preferred.REFINEMENT,
            why=f"{len(chain) - 1} revisions later",
        )
        for chain in chains
        if len(chain) > 1 and chain[0].response != chain[-1].response
    ]
    return Pairs(items=tuple(found))


def under(prompted: Attempt, words: Attempt) -> Attempt:
    """The words of one answer under another one's prompt, as an attempt at its task."""
    if prompted.turns[0] == words.turns[0]:
        return words
    return words.model_copy(
        update={
            "task": prompted.task,
            "turns": (prompted.turns[0], *words.turns[1:]),
            "provenance": Provenance.SPLICED,
        }
    )


def refining(
    pairs: Pairs,
    tasks: Sequence[Task],
    form: PromptForm,
    *,
    wording: Wording = Wording.NEUTRAL,
    shown: Shown = Shown.OWN,
) -> Pairs:
    """Each pair as one that refines: both answers under a prompt that shows the worse one (arXiv 2502.05605).

    KeyError if a pair is of none of the tasks.
    """
    by_key = {task.key: task for task in tasks}
    found = []
    for pair, said in zip(pairs.items, shown.among([p.worse for p in pairs.items]), strict=True):
        again = asked_again(by_key[pair.better.task], said, wording)
        better, worse = (moved_to(a, again, form, Provenance.SPLICED) for a in (pair.better, pair.worse))
        found.append(pair.model_copy(update={"better": better, "worse": worse, "refines": True}))
    return Pairs(items=tuple(found))
