"""Any OpenAI-compatible endpoint as a model: chat or completions, sampling only."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from typing import TypeVar

from pydantic import BaseModel, Field, JsonValue

from sharpen.core.attempt import Stop
from sharpen.core.errors import Unavailable
from sharpen.models.base import Capability
from sharpen.models.endpoint import HIDDEN_TOKEN as HIDDEN_TOKEN
from sharpen.models.endpoint import SEED_RANGE, Address, Endpoint, Options, Request, Route, Trouble
from sharpen.models.replies import Reply

OFFICIAL = "https://api.openai.com/v1"
KEY_VARIABLE = "OPENAI_API_KEY"
_PROBE_SECONDS = 10.0
_FILTERED = "content_filter"


class _Usage(BaseModel):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Token(BaseModel):
    logprob: float


class _ChatLogprobs(BaseModel):
    content: list[_Token] | None = None


class _ChatMessage(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _ChatChoice(BaseModel):
    message: _ChatMessage
    finish_reason: str | None = None
    logprobs: _ChatLogprobs | None = None


class _ChatAnswer(BaseModel):
    choices: list[_ChatChoice] = Field(min_length=1)
    usage: _Usage = _Usage()


class _TextLogprobs(BaseModel):
    token_logprobs: list[float] | None = None


class _TextChoice(BaseModel):
    text: str
    finish_reason: str | None = None
    logprobs: _TextLogprobs | None = None


class _TextAnswer(BaseModel):
    choices: list[_TextChoice] = Field(min_length=1)
    usage: _Usage = _Usage()


A = TypeVar("A", bound=BaseModel)


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


class OpenAIWire:
    """The protocol of OpenAI, by its official client."""

    def __init__(self, address: Address) -> None:
        """Nothing is asked yet; Unavailable without the client, or without a key where one is needed."""
        if find_spec("openai") is None:
            raise Unavailable("the package openai is not installed", remedy="pip install 'sharpen[openai]'")
        import openai

        from sharpen.models.http_wire import Deadline

        key = os.environ.get(KEY_VARIABLE)
        if key is None and address.url == OFFICIAL:
            raise Unavailable(f"{KEY_VARIABLE} is not set", remedy=f"export {KEY_VARIABLE}=...")
        self._address, self._options = address, address.options
        self._client = openai.OpenAI(
            api_key=key or "none",
            base_url=address.url,
            timeout=self._options.timeout,
            max_retries=0,
            http_client=openai.DefaultHttpxClient(event_hooks=Deadline(self._options.timeout).hooks),
        )

    @property
    def name(self) -> str:
        """What the user called it."""
        return f"openai:{self._address.model}@{self._address.url}"

    @property
    def identity(self) -> JsonValue:
        """Endpoint, route and model name."""
        return ["openai", self._address.url, self._options.route.value, self._address.model]

    @property
    def capabilities(self) -> frozenset[Capability]:
        """A forced start on the completions route; JSON schemas on the chat route, where the user says so."""
        if self._options.route is Route.COMPLETIONS:
            return frozenset({Capability.PREFIX})
        return frozenset({Capability.SCHEMA} if self._options.json_schema else ())

    def probe(self) -> None:
        """Ask for the list of models."""
        import httpx2
        import openai

        from sharpen.models.http_wire import failures

        patience, retries = min(_PROBE_SECONDS, self._options.timeout), min(1, self._options.retries)
        impatient = self._client.with_options(timeout=patience, max_retries=retries)
        try:
            with failures(openai, self.name, patience, KEY_VARIABLE), suppress(openai.NotFoundError):
                impatient.get("/models", cast_to=httpx2.Response)
        except Trouble as trouble:
            raise Unavailable(f"{self.name} {trouble.what}", remedy=trouble.remedy) from trouble

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
        body["messages"] = [{"role": m.role.value, "content": m.content} for m in request.messages]
        if self._options.logprobs:
            body["logprobs"] = True
        if request.prompt.schema:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": dict(request.prompt.schema)},
            }
        answer = self._post("/chat/completions", body, _ChatAnswer)
        choice = answer.choices[0]
        given = choice.logprobs.content if choice.logprobs else None
        logprobs = [token.logprob for token in given] if given is not None else None
        reason = _FILTERED if choice.message.refusal else choice.finish_reason
        return self._reply(choice.message.content or "", reason, logprobs, answer.usage)

    def _continue(self, request: Request, body: dict[str, JsonValue]) -> Reply:
        prompt = request.prompt
        body |= {"max_tokens": request.decoding.max_tokens, "prompt": prompt.text + prompt.prefix}
        if self._options.logprobs:
            body["logprobs"] = 0
        answer = self._post("/completions", body, _TextAnswer)
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

    def _post(self, path: str, body: dict[str, JsonValue], kind: type[A]) -> A:
        import httpx2
        import openai

        from sharpen.models.http_wire import failures, parsed

        with failures(openai, self.name, self._options.timeout, KEY_VARIABLE):
            return parsed(self._client.post(path, cast_to=httpx2.Response, body=body).content, kind)
