"""Find the entry of a manual that some words come from, by searching the manual.

The same moves as everywhere with tools: `<know>` searches the manual, `<mem>` one's own memory, `<ans>` names
the entry. The corpora ship with Python and numpy, see sharpen.environments.corpora.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from sharpen.core.task import Task
from sharpen.environments.corpora import corpus_of
from sharpen.environments.tools import Action, Tag, ToolEpisode


@dataclass
class Player:
    """Searches for the words of the question and names the first hit."""

    question: str

    def __call__(self, episode: ToolEpisode) -> Action:
        """The next move."""
        if not episode.actions:
            return Action(Tag.KNOWLEDGE, self.question[:200])
        return Action(Tag.ANSWER, episode.facts[0].id if episode.facts else "unknown", ("first hit",))


def start(task: Task, rng: random.Random) -> ToolEpisode:
    """Start an episode; `task.world` holds `corpus`, and the task's answer is the entry's title."""
    world: Any = task.world
    return ToolEpisode(
        role=task.role,
        question=task.question,
        knowledge=corpus_of(world["corpus"]),
        right=lambda answer: answer.casefold() == task.answer.casefold(),
        player=Player(task.question),
        rng=rng,
    )
