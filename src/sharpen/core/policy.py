"""A policy is whatever acts: a model, a prompt form and any number of artifacts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from itertools import groupby
from typing import NamedTuple, Protocol

from pydantic import Field

from sharpen.core.artifact import Artifact, Kind
from sharpen.core.attempt import Attempt, Turn
from sharpen.core.dialogue import FREE, Shape
from sharpen.core.errors import BadInput
from sharpen.core.records import Record, digest
from sharpen.core.task import SINGLE_TURN, Message, Role, Task


class Style(StrEnum):
    """How a question is put to the model."""

    PLAIN = "plain"
    """`Q: ...\\nA:` as text to be continued."""
    CHAT = "chat"
    """Through the tokenizer's chat template or the endpoint's chat interface."""


class Shot(Record):
    """A solved example that stands before the question."""

    question: str
    response: str


class PromptForm(Record):
    """Instruction, solved examples and style; a base score is only meaningful together with it."""

    style: Style = Style.PLAIN
    instruction: str = ""
    shots: tuple[Shot, ...] = ()

    @property
    def stop(self) -> tuple[str, ...]:
        """Texts that end a response in this form."""
        return ("\n\n", "\nQ:") if self.style is Style.PLAIN else ()

    def text(self, task: Task) -> str:
        """The prompt as plain text to be continued; BadInput for a task with pictures or calls."""
        if any(message.pictures or message.calls for message in task.messages):
            raise BadInput(
                "style", self.style.value, "has no place for pictures and calls", remedy="use the chat style"
            )
        blocks = [self.instruction] if self.instruction else []
        blocks += [f"Q: {shot.question}\nA: {shot.response}" for shot in self.shots]
        return "\n\n".join([*blocks, *_exchanges(task.messages)])

    def messages(self, task: Task) -> tuple[Message, ...]:
        """The prompt as chat messages."""
        head = [Message(role=Role.SYSTEM, content=self.instruction)] if self.instruction else []
        for shot in self.shots:
            head.append(Message(role=Role.USER, content=shot.question))
            head.append(Message(role=Role.ASSISTANT, content=shot.response))
        return (*head, *task.messages)


def _exchanges(messages: Sequence[Message]) -> list[str]:
    """`Q: ...\\nA: ...` blocks, one for each answer in a history; the last one is left open."""
    blocks: list[str] = []
    for answers, group in groupby(messages, key=lambda message: message.role is Role.ASSISTANT):
        said = "\n".join(message.content for message in group)
        if answers and blocks:
            blocks[-1] += f" {said}"
        else:
            blocks.append(f"Q: {said}\nA:")
    return blocks


class Workflow(Record):
    """A procedure that answers tasks by several journaled steps: a recipe's function and its settings."""

    function: str
    settings: str
    """The settings as JSON."""


class Policy(Record):
    """A model with its prompt form, artifacts and way of acting. Equal contents have equal versions."""

    model: str
    """Name of the model among the run's models."""
    base: str
    """Fingerprint of that model."""
    prompt: PromptForm = PromptForm()
    parts: Mapping[str, Artifact] = Field(default_factory=dict)
    """Artifacts by name; an artifact's usual name is its kind."""
    actor: str = SINGLE_TURN
    """Name of the actor that makes its attempts; see sharpen.actors."""
    workflow: Workflow | None = None
    """Procedure that stands around the actor, where a method works at the time of answering."""

    @cached_property
    def version(self) -> str:
        """Content hash of everything that decides how the policy acts: 16 hex digits."""
        parts = {name: artifact.version for name, artifact in self.parts.items()}
        return digest([self.base, self.prompt, parts, self.actor, self.workflow])[:16]

    @property
    def weights(self) -> Artifact | None:
        """The learned weights, or None for the base model."""
        return self.parts.get(Kind.WEIGHTS)

    def with_part(self, artifact: Artifact, name: str | None = None) -> Policy:
        """The same policy with one artifact put in the place of that name, by default its kind."""
        return self.model_copy(update={"parts": {**self.parts, name or artifact.kind.value: artifact}})

    def without_part(self, name: str) -> Policy:
        """The same policy without the artifact of that name; for ablations, forks and roll-backs."""
        return self.model_copy(update={"parts": {n: a for n, a in self.parts.items() if n != name}})

    def acting(self, actor: str) -> Policy:
        """The same policy with another actor."""
        return self.model_copy(update={"actor": actor})


class Decoding(NamedTuple):
    """How to draw tokens. Temperature 0 is greedy."""

    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 96
    stop: tuple[str, ...] = ()


GREEDY = Decoding(temperature=0.0)


@dataclass(frozen=True)
class Job:
    """One attempt that is wanted."""

    task: Task
    index: int
    seed: int
    round: int = 0
    trace: tuple[Turn, ...] = ()
    """Turns that stand already; the attempt goes on after them. Turns without tokens are read as text."""
    shape: Shape = FREE
    """What the answer may or must be beside free text."""
    rivals: Mapping[str, Policy] = field(default_factory=dict)
    """Who plays the other roles; a role without a policy is played by the environment's own script."""


class Actor(Protocol):
    """Makes attempts: single answers, episodes in a world, games, searches."""

    def act(self, policy: Policy, jobs: Sequence[Job], decoding: Decoding) -> list[Attempt]:
        """One attempt per job, in order. Each depends on its job, policy and decoding alone."""
