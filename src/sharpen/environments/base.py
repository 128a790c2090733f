"""What an environment is: one module here, found by its file name, that defines `start(task, rng) -> World`.

Options of an environment come with the task (its `world` and `metadata`): a task is all it takes to play.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, Protocol, runtime_checkable

from pydantic import Field, JsonValue

from sharpen.core import plugins
from sharpen.core.attempt import Author
from sharpen.core.dialogue import Call, Tool
from sharpen.core.records import Record
from sharpen.core.task import Task

PACKAGE = "sharpen.environments"
MAX_MOVE = 2_000
"""Characters of a move that a world gets to see."""


class View(NamedTuple):
    """What the role whose move it is gets to see since its last move."""

    role: str
    text: str
    author: Author = Author.ENVIRONMENT
    """Who speaks: the environment, or a tool that it hands on; neither carries loss."""


class Outcome(Record):
    """How an episode ended for the role that is judged."""

    value: float
    """What it is worth, from 0 to 1."""
    facts: Mapping[str, JsonValue] = Field(default_factory=dict)
    """Whatever else is worth counting; a fact that does not apply is left out, never 0."""


class World(Protocol):
    """A running episode. Worlds can be copied with `copy.deepcopy`, which is how searches branch.

    Every text that a world is given is hostile: it parses moves with limits and answers an illegal one by
    its own rules. All chance comes from the `rng` it was started with.
    """

    def view(self) -> View | None:
        """Who moves next, and what is new to it; None at the end. Asking twice changes nothing."""

    def scripted(self, role: str) -> str:
        """A move of the environment's own player of a role."""

    def move(self, text: str) -> None:
        """The next role's move."""

    def outcome(self) -> Outcome:
        """How it ended; only asked when it is over."""


class Hit(NamedTuple):
    """One thing that a search found."""

    id: str
    text: str
    """As it is shown."""


class Searchable(Protocol):
    """What can be searched: a memory, a corpus, a table of facts."""

    def search(self, query: str) -> Sequence[Hit]:
        """What fits the query, best first; the query is hostile text."""


@runtime_checkable
class Offers(Protocol):
    """A world whose moves can be made as calls of functions, too, by models that have a form for them."""

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The functions."""

    def spelt(self, call: Call) -> str:
        """The move that a call stands for; the call is as hostile as any text."""


@runtime_checkable
class Retrieves(Protocol):
    """A world that offers the policy its own memory as a tool."""

    def equip(self, memory: Searchable) -> None:
        """Hand over the policy's memory before the first move."""


def start(task: Task, rng: random.Random) -> World:
    """Start an episode of the task's environment; BadInput lists the environments if there is none such."""
    world: World = _module(task.environment).start(task, rng)
    return world


@cache
def _module(name: str) -> Any:
    """An environment's module: looked up once, since episodes start by the thousand."""
    return plugins.load(PACKAGE, name, kind="environment", defines="start")
