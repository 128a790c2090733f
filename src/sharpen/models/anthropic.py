"""Models of Anthropic, or behind an endpoint that speaks its Messages protocol, by its official client.

The protocol has no seed, so equal requests need not be answered equally. Its current models refuse
temperature and top_p; `?sampling=true` sends them to older ones.
"""

from __future__ import annotations

import os

from pydantic import BaseModel, JsonValue

from sharpen.core.attempt import Stop
from sharpen.core.dialogue import Call, Calling
from sharpen.core.task import Message, Role
from sharpen.models.base import Capability
from sharpen.models.client_wire import Client, ClientWire
from sharpen.models.dialogue import spoken
from sharpen.models.endpoint import Address, Endpoint, Request, able, cut_off
from sharpen.models.replies import Count, Reply

OFFICIAL = "https://api.anthropic.com"
KEY_VARIABLE = "ANTHROPIC_API_KEY"


class _Usage(BaseModel):
    input_tokens: Count = 0
    cache_creation_input_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    output_tokens: Count = 0


class _Block(BaseModel):
    type: str
    text: str = ""
    id: str = ""
    name: str = ""
    input: dict[str, JsonValue] | None = None


class _Answer(BaseModel):
    content: list[_Block]
    stop_reason: str | None = None
    usage: _Usage = _Usage()


_STOPS = {
    "max_tokens": Stop.LENGTH,
    "model_context_window_exceeded": Stop.LENGTH,
    "stop_sequence": Stop.STOP_TEXT,
    "refusal": Stop.FAILED,
}


def open_anthropic(written: str, *, probe: bool = True) -> Endpoint:
    """Open `NAME` at Anthropic, or `NAME@URL?options`; `probe` asks whether anybody answers."""
    official = os.environ.get("ANTHROPIC_BASE_URL") or OFFICIAL
    address = Address.parse(written, kind="anthropic", official=official)
    endpoint = Endpoint(AnthropicWire(address), address.options)
    if probe:
        endpoint.probe()
    return endpoint


class AnthropicWire(ClientWire):
    """The Messages protocol."""

    def __init__(self, address: Address) -> None:
        """Nothing is asked yet; Unavailable without the client, or without a key where one is needed."""
        super().__init__(Client("anthropic", "Anthropic", KEY_VARIABLE, OFFICIAL, "/v1/models"), address)

    @property
    def identity(self) -> JsonValue:
        """Endpoint and model name."""
        return ["anthropic", self._address.url, self._address.model]

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the user says."""
        return able(self._options)

    def ask(self, request: Request) -> Reply:
        """One reply."""
        answer = self.post("/v1/messages", self._body(request), _Answer)
        usage = answer.usage
        read = (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
        reply = Reply(
            text="".join(block.text for block in answer.content if block.type == "text"),
            prompt_tokens=usage.input_tokens + read,
            tokens=usage.output_tokens,
            stop=_STOPS.get(answer.stop_reason or "", Stop.END),
            calls=tuple(
                Call(name=block.name, arguments=block.input, id=block.id)
                for block in answer.content
                if block.type == "tool_use"
            ),
        )
        return cut_off(reply, request.decoding.stop)

    def _body(self, request: Request) -> dict[str, JsonValue]:
        decoding, (system, messages) = request.decoding, spoken(request.messages)
        body: dict[str, JsonValue] = {
            "model": self._address.model,
            "max_tokens": decoding.max_tokens,
            "messages": [_message(message) for message in messages],
        }
        if system:
            body["system"] = system
        if request.prompt.tools:
            body["tools"] = [
                {"name": t.name, "description": t.description, "input_schema": dict(t.parameters)}
                for t in request.prompt.tools
            ]
        if request.prompt.calling is Calling.MUST:
            body["tool_choice"] = {"type": "any"}
        if self._options.sampling:
            body |= {"temperature": decoding.temperature, "top_p": decoding.top_p}
        # A stop text of white space alone is refused by the protocol; `cut_off` sees to it.
        if stops := [text for text in decoding.stop if text.strip()]:
            body["stop_sequences"] = list[JsonValue](stops)
        if request.prompt.schema:
            body["output_config"] = {"format": {"type": "json_schema", "schema": dict(request.prompt.schema)}}
        return body


def _message(message: Message) -> JsonValue:
    """A message of the protocol, which knows the roles of user and assistant alone."""
    role = Role.ASSISTANT if message.role is Role.ASSISTANT else Role.USER
    return {"role": role.value, "content": _content(message)}


def _content(message: Message) -> JsonValue:
    """Words alone as they are, anything else in blocks; a block of no words is refused by the protocol."""
    if message.answers:
        return [{"type": "tool_result", "tool_use_id": message.answers, "content": message.content}]
    blocks: list[JsonValue] = [
        {"type": "image", "source": {"type": "base64", "media_type": one.media.value, "data": one.data}}
        for one in message.pictures
    ]
    if message.content and (message.pictures or message.calls):
        blocks.append({"type": "text", "text": message.content})
    blocks += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": dict(call.arguments or {})}
        for call in message.calls
    ]
    return blocks or message.content
