"""From a policy to its model: the prompt as text, the weights in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from sharpen.core.artifact import ArtifactStore
from sharpen.core.dialogue import Tool
from sharpen.core.policy import Policy, Style
from sharpen.core.task import Message, Task
from sharpen.models.base import Model

WEIGHTS_FILE = "model.safetensors"


class ChatModel(Protocol):
    """A model that can put messages into its own chat form."""

    def chat(self, messages: Sequence[Message]) -> str:
        """The text a response continues."""


@runtime_checkable
class Caller(Protocol):
    """A model in whose prompts functions are words, too."""

    def chat(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> str:
        """The text a response continues."""

    def opening(self, tools: Sequence[Tool]) -> str | None:
        """How a response begins that calls one of the functions; None where that is not known."""


def render(model: Model, policy: Policy, task: Task, tools: Sequence[Tool] = ()) -> str:
    """The text that a response to the task continues."""
    if policy.prompt.style is Style.PLAIN:
        return policy.prompt.text(task)
    return render_messages(model, policy.prompt.messages(task), tools)


def render_messages(model: Model, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> str:
    """Messages in the model's own chat form; functions in it where it is the place for them."""
    if isinstance(model, Caller):
        return model.chat(messages, tools)
    chat: ChatModel = model  # type: ignore[assignment]  # every chat-capable model has it; others raise
    return chat.chat(messages)


def load_policy(model: Model, policy: Policy, store: ArtifactStore) -> None:
    """Make the model hold the policy's weights."""
    weights = policy.weights
    model.load(store.checked_path(weights.files[WEIGHTS_FILE]) if weights else None)
