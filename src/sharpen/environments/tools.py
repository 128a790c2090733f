"""Question answering with two tools, as environments share it: ask one's memory, ask a source, then answer.

A move is one line: optional thoughts, then one action.

    <think> ... <mem> query       what the policy's own memory holds
    <think> ... <know> query      what the environment's source of knowledge says
    <think> ... <ans> answer      ends the episode

Anything else is answered by a fixed reminder, and an episode ends without an answer after `turns` moves.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, NamedTuple

from sharpen.core.dialogue import Call, Tool
from sharpen.environments.base import Hit, Outcome, Searchable, View
from sharpen.models.dialogue import text_tool

START = "go"
NOTHING = "none"
REMINDER = "use <mem> <know> <ans>"
MOST_TURNS = 6
_MOVE = re.compile(
    r"\s*(?P<thoughts>(?:<think>[^<]{0,300}){0,8})<(?P<tag>mem|know|ans)>(?P<text>[^<]{1,300})", re.DOTALL
)


class Tag(StrEnum):
    """What a move does."""

    MEMORY = "mem"
    KNOWLEDGE = "know"
    ANSWER = "ans"


TEXT = "text"
OFFERED = {
    Tag.MEMORY: text_tool("recall", "Search your own memory.", TEXT, "What to look for."),
    Tag.KNOWLEDGE: text_tool("look_up", "Search what is known.", TEXT, "What to look for."),
    Tag.ANSWER: text_tool("answer", "Give the answer; this ends the task.", TEXT, "The answer alone."),
}


class Action(NamedTuple):
    """A move that was understood."""

    tag: Tag
    text: str
    thoughts: tuple[str, ...] = ()


def parse(move: str) -> Action | None:
    """The action in a move; None for anything but thoughts followed by exactly one action."""
    found = _MOVE.fullmatch(move)
    if found is None or not found["text"].strip():
        return None
    thoughts = tuple(text.strip() for text in found["thoughts"].split("<think>")[1:])
    return Action(Tag(found["tag"]), " ".join(found["text"].split()), thoughts)


def written(action: Action) -> str:
    """The move that `parse` reads as this action."""
    return "".join(f"<think> {thought} " for thought in action.thoughts) + f"<{action.tag}> {action.text}"


Player = Callable[["ToolEpisode"], Action]
"""The environment's own player: chooses from what the episode has shown, never from what it hides."""


@dataclass
class ToolEpisode:
    """A running episode with one question."""

    role: str
    question: str
    knowledge: Searchable
    right: Callable[[str], bool]
    """Whether an answer is right."""
    player: Player
    rng: random.Random
    turns: int = MOST_TURNS
    memory: Searchable | None = None
    text: str = START
    """What is to be shown next."""
    actions: list[Action | None] = field(default_factory=list)
    hits: list[Hit] = field(default_factory=list)
    """All that the memory gave, in order."""
    facts: list[Hit] = field(default_factory=list)
    """All that the source of knowledge gave."""

    tools: ClassVar[tuple[Tool, ...]] = tuple(OFFERED.values())

    def spelt(self, call: Call) -> str:
        """The action that a call stands for; nothing for a call that is none."""
        text = call.text(TEXT)
        tags = [tag for tag, tool in OFFERED.items() if tool.name == call.name]
        return written(Action(tags[0], text)) if tags and text else ""

    def equip(self, memory: Searchable) -> None:
        """Give the tool `<mem>` something to search."""
        self.memory = memory

    def view(self) -> View | None:
        """The last observation; None once there is an answer or the turns are used up."""
        over = self.answer is not None or len(self.actions) >= self.turns
        return None if over else View(self.role, self.text)

    def scripted(self, role: str) -> str:
        """The own player's move."""
        return written(self.player(self))

    def move(self, text: str) -> None:
        """Do what a move says."""
        action = parse(text)
        self.actions.append(action)
        match action:
            case None:
                self.text = REMINDER
            case Action(tag=Tag.MEMORY):
                self.text = self._shown(self.memory, action.text, self.hits)
            case Action(tag=Tag.KNOWLEDGE):
                self.text = self._shown(self.knowledge, action.text, self.facts)

    @staticmethod
    def _shown(source: Searchable | None, query: str, seen: list[Hit]) -> str:
        found: Sequence[Hit] = source.search(query) if source else ()
        seen += found
        return "\n".join(hit.text for hit in found) or NOTHING

    @property
    def answer(self) -> str | None:
        """The answer that was given."""
        last = self.actions[-1] if self.actions else None
        return last.text if last and last.tag is Tag.ANSWER else None

    def count(self, tag: Tag) -> int:
        """How many moves had this tag."""
        return sum(action is not None and action.tag is tag for action in self.actions)

    def outcome(self) -> Outcome:
        """Worth 1 if the answer is right; the facts are what rewards and credit are made of."""
        answer = self.answer
        return Outcome(
            value=float(answer is not None and self.right(answer)),
            facts={
                "answered": int(answer is not None),
                "thoughts": sum(len(action.thoughts) for action in self.actions if action),
                "memory_calls": self.count(Tag.MEMORY),
                "knowledge_calls": self.count(Tag.KNOWLEDGE),
                "used_memory": int(self.count(Tag.MEMORY) > 0),
                "malformed": sum(action is None for action in self.actions),
                "retrieved": list(dict.fromkeys(hit.id for hit in self.hits)),
            },
        )
