"""A cold start: teach a model the form of episodes with tools from the environment's own player."""

from __future__ import annotations

from collections.abc import Sequence

from sharpen.core.policy import Policy
from sharpen.core.run import Scope
from sharpen.core.task import Task
from sharpen.curation.batch import Batch, Item
from sharpen.learners.sft import SFT
from sharpen.stores.distil import by_template
from sharpen.stores.memory import Memory, Shelve, insert

BATCH = 32
SAMPLES = 4
"""Advised episodes per task, for every one without advice."""


def cold_started(scope: Scope, policy: Policy, tasks: Sequence[Task], *, steps: int) -> Policy:
    """SFT on scripted episodes: first without a memory, then with what those happened to try.

    Nothing of it is judged, so what the memory says is made up: the policy learns tags and tools, and to
    follow advice, but nothing of what is right.
    """
    player = policy.acting("scripted")
    blind = scope.attempt(player, tasks)
    rumours = [by_template(task, attempt, True) for task, attempt in zip(tasks, blind, strict=True)]
    advised = scope.update(Shelve(), player, insert(Memory(), rumours, answers=()).memory)
    episodes = (*blind, *scope.attempt(advised, tasks, samples=SAMPLES))
    batch = Batch(items=tuple(Item(attempt=attempt) for attempt in episodes))
    return scope.update(SFT(steps=steps, batch_size=BATCH), policy, batch)
