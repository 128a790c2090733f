"""Any OpenAI-compatible endpoint as a model: chat or completions, sampling only."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from pydantic import BaseModel, Field, FiniteFloat, JsonValue

from sharpen.core.attempt import Stop
from sharpen.core.dialogue import Call, Calling
from sharpen.core.errors import Unavailable
from sharpen.core.task import Message, Role
from sharpen.models.base import Capability
from sharpen.models.client_wire import Client, ClientWire
from sharpen.models.dialogue import read_arguments
from sharpen.models.endpoint import HIDDEN_TOKEN as HIDDEN_TOKEN
from sharpen.models.endpoint import SEED_RANGE, Address, Endpoint, Options, Request, Route, able
from sharpen.models.replies import Count, Reply

OFFICIAL = "https://api.openai.com/v1"
KEY_VARIABLE = "OPENAI_API_KEY"
_FILTERED = "content_filter"


class _Usage(BaseModel):
    prompt_tokens: Count = 0
    completion_tokens: Count = 0


class _Token(BaseModel):
    logprob: FiniteFloat


class _ChatLogprobs(BaseModel):
    content: list[_Token] | None = None


class _Function(BaseModel):
    name: str
    arguments: str = ""


class _ToolCall(BaseModel):
    id: str = ""
    function: _Function


class _ChatMessage(BaseModel):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None

    @property
    def calls(self) -> tuple[Call, ...]:
        return tuple(
            Call(name=one.function.name, arguments=read_arguments(one.function.arguments or "{}"), id=one.id)
            for one in self.tool_calls or ()
        )


class _ChatChoice(BaseModel):
    message: _ChatMessage
    finish_reason: str | None = None
    logprobs: _ChatLogprobs | None = None


class _ChatAnswer(BaseModel):
    choices: list[_ChatChoice] = Field(min_length=1)
    usage: _Usage = _Usage()


class _TextLogprobs(BaseModel):
    token_logprobs: list[FiniteFloat] | None = None


class _TextChoice(BaseModel):
    text: str
    finish_reason: str | None = None
    logprobs: _TextLogprobs | None = None


class _TextAnswer(BaseModel):
    choices: list[_TextChoice] = Field(min_length=1)
    usage: _Usage = _Usage()


def open_openai(written: str, *, probe: bool = True) -> OpenAIModel:
    """Open `NAME@URL?options`, or `NAME` at the official endpoint; `probe` asks whether anybody answers."""
    official = os.environ.get("OPENAI_BASE_URL") or OFFICIAL
    address = Address.parse(written, kind="openai", official=official)
    endpoint = OpenAIModel(address.model, address.url, address.options)
    if probe:
        endpoint.probe()
    return endpoint


class OpenAIModel(Endpoint):
    """A model behind an OpenAI-compatible endpoint."""

    def __init__(self, model: str, url: str, options: Options | None = None) -> None:
        """`model` as the endpoint names it; `url` ends in `/v1` as a rule; the key is in OPENAI_API_KEY."""
        chosen = options or Options()
        super().__init__(OpenAIWire(Address(model, url, chosen)), chosen)


class OpenAIWire(ClientWire):
    """The protocol of OpenAI, by its official client."""

    def __init__(self, address: Address) -> None:
        """Nothing is asked yet; Unavailable without the client, or without a key where one is needed."""
        super().__init__(Client("openai", "OpenAI", KEY_VARIABLE, OFFICIAL, "/models"), address)

    @property
    def identity(self) -> JsonValue:
        """Endpoint, route and model name."""
        return ["openai", self._address.url, self._options.route.value, self._address.model]

    @property
    def capabilities(self) -> frozenset[Capability]:
        """A forced start on the completions route; on the chat route what the user says."""
        if self._options.route is Route.COMPLETIONS:
            return frozenset({Capability.PREFIX})
        return able(self._options)

    def ask(self, request: Request) -> Reply:
        """One reply."""
        decoding = request.decoding
        body: dict[str, JsonValue] = {"model": self._address.model}
        if self._options.sampling is not False:
            body |= {"temperature": decoding.temperature, "top_p": decoding.top_p}
            body["seed"] = request.seed % SEED_RANGE
        if decoding.stop:
            body["stop"] = list(decoding.stop)
        return (
            self._chat(request, body) if self._options.route is Route.CHAT else self._continue(request, body)
        )

    def _chat(self, request: Request, body: dict[str, JsonValue]) -> Reply:
        # The official endpoint has renamed the limit; most others know the old name only.
        limit_name = "max_completion_tokens" if self._address.url == OFFICIAL else "max_tokens"
        body[limit_name] = request.decoding.max_tokens
        body["messages"] = [_message(message) for message in request.messages]
        if request.prompt.tools:
            body["tools"] = [{"type": "function", "function": t.model_dump()} for t in request.prompt.tools]
        if request.prompt.calling is Calling.MUST:
            body["tool_choice"] = "required"
        if self._options.logprobs:
            body["logprobs"] = True
        if request.prompt.schema:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": dict(request.prompt.schema)},
            }
        answer = self.post("/chat/completions", body, _ChatAnswer)
        choice = answer.choices[0]
        given = choice.logprobs.content if choice.logprobs else None
        logprobs = [token.logprob for token in given] if given is not None else None
        reason = _FILTERED if choice.message.refusal else choice.finish_reason
        reply = self._reply(choice.message.content or "", reason, logprobs, answer.usage)
        return reply.model_copy(update={"calls": choice.message.calls}) if choice.message.calls else reply

    def _continue(self, request: Request, body: dict[str, JsonValue]) -> Reply:
        prompt = request.prompt
        body |= {"max_tokens": request.decoding.max_tokens, "prompt": prompt.text + prompt.prefix}
        if self._options.logprobs:
            body["logprobs"] = 0
        answer = self.post("/completions", body, _TextAnswer)
        choice = answer.choices[0]
        logprobs = choice.logprobs.token_logprobs if choice.logprobs else None
        return self._reply(prompt.prefix + choice.text, choice.finish_reason, logprobs, answer.usage)

    def _reply(self, text: str, reason: str | None, logprobs: Sequence[float] | None, usage: _Usage) -> Reply:
        if self._options.logprobs and logprobs is None:
            raise Unavailable(f"{self.name} gives no log-probabilities", remedy="open it with logprobs=false")
        return Reply(
            text=text,
            prompt_tokens=usage.prompt_tokens,
            tokens=usage.completion_tokens if logprobs is None else len(logprobs),
            logprobs=None if logprobs is None else tuple(logprobs),
            stop={"length": Stop.LENGTH, _FILTERED: Stop.FAILED}.get(reason or "", Stop.END),
        )


def _message(message: Message) -> dict[str, JsonValue]:
    """A message of the protocol; the result of a call that nobody remembers is what the user says."""
    role = Role.USER if message.role is Role.TOOL and not message.answers else message.role
    written: dict[str, JsonValue] = {"role": role.value, "content": _content(message)}
    if message.calls:
        written["tool_calls"] = [_call(call) for call in message.calls]
    if message.answers:
        written["tool_call_id"] = message.answers
    return written


def _content(message: Message) -> JsonValue:
    if not message.pictures:
        return message.content
    seen: list[JsonValue] = [
        {"type": "image_url", "image_url": {"url": picture.url}} for picture in message.pictures
    ]
    return [*seen, {"type": "text", "text": message.content}]


def _call(call: Call) -> JsonValue:
    arguments = json.dumps(call.arguments or {}, ensure_ascii=False)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}
