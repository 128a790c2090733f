"""From a policy to its model: the prompt as text, the weights in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sharpen.core.artifact import ArtifactStore
from sharpen.core.policy import Policy, Style
from sharpen.core.task import Message, Task
from sharpen.models.base import Model

WEIGHTS_FILE = "model.safetensors"


class ChatModel(Protocol):
    """A model that can put messages into its own chat form."""

    def chat(self, messages: Sequence[Message]) -> str:
        """The text a response continues."""


def render(model: Model, policy: Policy, task: Task) -> str:
    """The text that a response to the task continues."""
    if policy.prompt.style is Style.PLAIN:
        return policy.prompt.text(task)
    return render_messages(model, policy.prompt.messages(task))


def render_messages(model: Model, messages: Sequence[Message]) -> str:
    """Messages in the model's own chat form."""
    chat: ChatModel = model  # type: ignore[assignment]  # every chat-capable model has it; others raise
    return chat.chat(messages)


def load_policy(model: Model, policy: Policy, store: ArtifactStore) -> None:
    """Make the model hold the policy's weights."""
    weights = policy.weights
    model.load(store.checked_path(weights.files[WEIGHTS_FILE]) if weights else None)
