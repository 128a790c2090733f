"""Messages in a tokenizer's own chat form, with functions where its template has a place for them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import JsonValue
from transformers import PreTrainedTokenizerBase

from sharpen.core.dialogue import Call, Tool
from sharpen.core.errors import BadInput
from sharpen.core.task import Message
from sharpen.models.calls import OPEN
from sharpen.models.dialogue import called

Inert = Callable[[str], str]
"""A text with every special token in it broken up."""
_TOOLS = re.compile(r"\btools\b")


class Chat:
    """The chat form of one tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, inert: Inert, name: str) -> None:
        """`name` is the model's, for errors."""
        self._tokenizer, self._inert, self._name = tokenizer, inert, name

    @property
    def _source(self) -> str:
        """The template, or all of them where there are several."""
        template: Any = self._tokenizer.chat_template or ""
        return "\n".join(template.values()) if isinstance(template, dict) else str(template)

    @property
    def takes_tools(self) -> bool:
        """Whether the template has a place for functions."""
        return bool(_TOOLS.search(self._source))

    @property
    def marks_calls(self) -> bool:
        """Whether calls stand between the marks that a reply can be made to begin with."""
        return self.takes_tools and OPEN in self._source

    def text(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> str:
        """The messages up to where a response begins; BadInput for what the template has no place for."""
        from jinja2 import TemplateError

        self._check(messages, tools)
        offered = [self._tool(tool) for tool in tools]
        try:
            text = self._tokenizer.apply_chat_template(
                [self._turn(message, messages) for message in messages],
                tools=offered or None,
                tokenize=False,
                add_generation_prompt=True,
            )
        except (TemplateError, ValueError, TypeError) as error:
            raise BadInput(
                "messages",
                [message.role.value for message in messages],
                f"the chat template of {self._name} refuses them: {error}",
                remedy="use roles in the order that its template knows",
            ) from error
        return str(text)

    def _check(self, messages: Sequence[Message], tools: Sequence[Tool]) -> None:
        if not self._source:
            raise BadInput(
                "style", "chat", f"model {self._name} has no chat template", remedy="use the plain style"
            )
        if any(message.pictures for message in messages):
            raise BadInput("pictures", self._name, "cannot see", remedy="take an endpoint with ?images=true")
        if not self.takes_tools and (tools or any(message.calls for message in messages)):
            raise BadInput(
                "tools", self._name, "its chat template has no place for functions", remedy="leave them out"
            )

    def _turn(self, message: Message, dialogue: Sequence[Message]) -> dict[str, Any]:
        turn: dict[str, Any] = {"role": message.role.value, "content": self._inert(message.content)}
        if message.calls:
            turn["tool_calls"] = [self._call(call) for call in message.calls]
        if message.answers:
            name = called(dialogue, message.answers)
            turn |= {"tool_call_id": self._inert(message.answers), "name": self._inert(name)}
        return turn

    def _call(self, call: Call) -> dict[str, Any]:
        arguments = self._all_inert(dict(call.arguments or {}))
        function = {"name": self._inert(call.name), "arguments": arguments}
        return {"id": self._inert(call.id), "type": "function", "function": function}

    def _tool(self, tool: Tool) -> dict[str, Any]:
        return {"type": "function", "function": self._all_inert(tool.model_dump(mode="json"))}

    def _all_inert(self, value: JsonValue) -> JsonValue:
        """The value with every text in it inert."""
        match value:
            case str():
                return self._inert(value)
            case list():
                return [self._all_inert(one) for one in value]
            case dict():
                return {self._inert(key): self._all_inert(one) for key, one in value.items()}
            case _:
                return value
