"""The OpenAI protocol as records: what is asked is checked field by field, what is not done is refused."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

from sharpen.core.attempt import Attempt, Author, Stop
from sharpen.core.dialogue import Call, Calling
from sharpen.serve.answering import Asked
from sharpen.serve.asking import MOST_TOOLS, Choice, Format, Offered, Said

MOST_SAMPLES = 64
MOST_STOPS = 16
MOST_MESSAGES = 1000
MOST_PROMPTS = 64
MOST_BODY = 16 << 20
"""Bytes of a request."""
_REASONS = {Stop.LENGTH: "length", Stop.FAILED: "content_filter"}


class StreamOptions(BaseModel):
    """How to stream."""

    include_usage: bool = False


class Common(BaseModel):
    """What both interfaces take."""

    model_config = ConfigDict(extra="ignore")
    model: str
    temperature: Annotated[float, Field(ge=0, le=10)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    n: Annotated[int, Field(ge=1, le=MOST_SAMPLES)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: str | Annotated[list[str], Field(max_length=MOST_STOPS)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @field_validator("stop")
    @classmethod
    def _no_empty_stop(cls, stop: str | list[str] | None) -> str | list[str] | None:
        if stop is not None and not all([stop] if isinstance(stop, str) else stop):
            raise ValueError("a stop text must not be empty")
        return stop

    @property
    def stops(self) -> tuple[str, ...]:
        """Stop texts."""
        return () if self.stop is None else (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)


_REFUSED: dict[str, tuple[JsonValue, ...]] = {
    "functions": (None, []),
    "logit_bias": (None, {}),
    "presence_penalty": (None, 0),
    "frequency_penalty": (None, 0),
    "best_of": (None, 1),
    "suffix": (None, ""),
    "echo": (None, False),
    "top_logprobs": (None, 0),
}
"""Fields that this server does not act on, with the values that ask for nothing."""
_REFUSED_OF_TEXT: dict[str, tuple[JsonValue, ...]] = {
    "tools": (None, []),
    "response_format": (None, {"type": "text"}),
}
"""Those that only dialogues can have."""


def ignored(body: Mapping[str, JsonValue], *, chat: bool) -> str | None:
    """A field that would change an answer and is not acted on; none if there is none."""
    refused = _REFUSED if chat else {**_REFUSED, **_REFUSED_OF_TEXT}
    return next((name for name, harmless in refused.items() if body.get(name) not in harmless), None)


class ChatRequest(Common):
    """`POST /v1/chat/completions`."""

    messages: Annotated[list[Said], Field(min_length=1, max_length=MOST_MESSAGES)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    tools: Annotated[list[Offered], Field(max_length=MOST_TOOLS)] | None = None
    tool_choice: Choice | None = None
    parallel_tool_calls: bool | None = None
    response_format: Format | None = None

    @property
    def limit(self) -> int | None:
        """Longest answer, by either of its names."""
        return self.max_completion_tokens or self.max_tokens


class TextRequest(Common):
    """`POST /v1/completions`."""

    prompt: Annotated[list[str], Field(min_length=1, max_length=MOST_PROMPTS)]
    """One text or several; choices are numbered through all of them."""
    logprobs: Annotated[int, Field(ge=0, le=0)] | None = None
    """0: of the drawn tokens; others are not kept."""

    @field_validator("prompt", mode="before")
    @classmethod
    def _texts(cls, prompt: object) -> object:
        given = prompt if isinstance(prompt, list) else [prompt]
        if not all(isinstance(text, str) and text for text in given):
            raise ValueError("give a text or a list of texts, none of them empty; tokens are not taken")
        return given

    @property
    def limit(self) -> int | None:
        """Longest answer."""
        return self.max_tokens


class Refusal(Exception):
    """A request that is not answered, as the protocol says it."""

    def __init__(
        self, status: int, kind: str, message: str, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


class Spoken(NamedTuple):
    """One sample as it is sent."""

    text: str
    reason: str
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...] | None
    calls: tuple[JsonValue, ...] = ()
    """As the protocol writes them."""
    refusal: str | None = None
    """Why there is no answer of the form that was asked for."""

    @property
    def message(self) -> dict[str, JsonValue]:
        """What an assistant says, without its role."""
        said: dict[str, JsonValue] = {"content": self.text, "refusal": self.refusal}
        if self.refusal is not None or (self.calls and not self.text):
            said["content"] = None
        return {**said, "tool_calls": list(self.calls)} if self.calls else said


def spoken(attempt: Attempt, asked: Asked) -> Spoken:
    """What an attempt says; log-probabilities where it is one turn that has them."""
    own = [turn for turn in attempt.turns if turn.author is Author.POLICY]
    alone = own[0] if len(own) == 1 else None
    text = own[-1].text if asked.raw and own else attempt.response
    calls = own[-1].calls[: 1 if asked.one_call else None] if own and asked.shape.tools else ()
    return Spoken(
        text,
        _REASONS.get(attempt.stop, "tool_calls" if calls else "stop"),
        alone.token_ids if alone else (),
        alone.logprobs if alone else None,
        tuple(_call(call) for call in calls),
        _refusal(text, calls, asked) if attempt.stop is not Stop.FAILED else None,
    )


def _call(call: Call) -> JsonValue:
    """A call as the protocol writes it; one that has no id gets one."""
    arguments = json.dumps(dict(call.arguments or {}), ensure_ascii=False)
    function: JsonValue = {"name": call.name, "arguments": arguments}
    return {"id": call.id or f"call_{uuid.uuid4().hex}", "type": "function", "function": function}


def _refusal(text: str, calls: Sequence[Call], asked: Asked) -> str | None:
    """Why a sample is not what was asked for; none if it is."""
    if asked.shape.calling is Calling.MUST and not calls:
        return "No call of a function could be read in what the policy wrote."
    problem = asked.form.problem(text) if asked.form is not None and not calls else None
    return f"What the policy wrote does not fit the schema: {problem}" if problem else None


def usage_of(groups: Sequence[Sequence[Attempt]]) -> dict[str, JsonValue]:
    """Tokens of a request: every prompt's once, the policy's for every sample."""
    firsts = [attempts[0] for attempts in groups if attempts]
    prompt = sum(
        len(turn.token_ids) for one in firsts for turn in one.turns if turn.author is not Author.POLICY
    )
    drawn = sum(attempt.token_count for attempts in groups for attempt in attempts)
    return {"prompt_tokens": prompt, "completion_tokens": drawn, "total_tokens": prompt + drawn}


class Envelope(NamedTuple):
    """What every reply to a request has in common."""

    id: str
    created: int
    model: str
    chat: bool

    @classmethod
    def new(cls, model: str, *, chat: bool) -> Envelope:
        """For a request that came now."""
        return cls(f"{'chatcmpl' if chat else 'cmpl'}-{uuid.uuid4().hex}", int(time.time()), model, chat)

    def wrap(self, choices: Sequence[Any], *, chunk: bool = False, **more: Any) -> dict[str, Any]:
        """Choices as a reply, or as a piece of one."""
        kind = ("chat.completion.chunk" if chunk else "chat.completion") if self.chat else "text_completion"
        head = {"id": self.id, "object": kind, "created": self.created, "model": self.model}
        return {**head, "choices": list(choices), **more}

    def choice(self, index: int, sample: Spoken, decode: Mapping[int, str] | None) -> dict[str, JsonValue]:
        """A sample as a choice; `decode` has the tokens' texts if log-probabilities are wanted."""
        body: dict[str, JsonValue] = {"index": index, "finish_reason": sample.reason}
        body["logprobs"] = self._logprobs(sample, decode) if decode is not None else None
        if self.chat:
            return {**body, "message": {"role": "assistant", **sample.message}}
        return {**body, "text": sample.text}

    def _logprobs(self, sample: Spoken, decode: Mapping[int, str]) -> JsonValue:
        texts, values = [decode[token] for token in sample.tokens], list(sample.logprobs or ())
        if not self.chat:
            return {"tokens": list(texts), "token_logprobs": list(values)}
        rows: list[JsonValue] = [
            {"token": text, "logprob": value, "bytes": list(text.encode()), "top_logprobs": []}
            for text, value in zip(texts, values, strict=True)
        ]
        return {"content": rows}

    def piece(self, index: int, text: str, reason: str | None = None) -> dict[str, JsonValue]:
        """A piece of a sample as a choice of a chunk."""
        body: dict[str, JsonValue] = {"index": index, "finish_reason": reason, "logprobs": None}
        if not self.chat:
            return {**body, "text": text}
        return {**body, "delta": {"content": text} if text else {}}

    def beside(self, index: int, sample: Spoken) -> dict[str, JsonValue] | None:
        """What a sample has beside words as a choice of a chunk; none if there is nothing."""
        calls: list[JsonValue] = [
            {"index": place, **call} for place, call in enumerate(sample.calls) if isinstance(call, dict)
        ]
        delta: dict[str, JsonValue] = {"tool_calls": calls} if calls else {}
        if sample.refusal is not None:
            delta["refusal"] = sample.refusal
        return {"index": index, "finish_reason": None, "delta": delta} if delta else None
