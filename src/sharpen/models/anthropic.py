"""Models of Anthropic, or behind an endpoint that speaks its Messages protocol, by its official client.

The protocol has no seed, so equal requests need not be answered equally. Its current models refuse
temperature and top_p; `?sampling=true` sends them to older ones.
"""

from __future__ import annotations

import os
from importlib.util import find_spec

from pydantic import BaseModel, JsonValue

from sharpen.core.attempt import Stop
from sharpen.core.errors import Unavailable
from sharpen.core.task import Role
from sharpen.models.base import Capability
from sharpen.models.endpoint import Address, Endpoint, Request, Trouble, cut_off
from sharpen.models.replies import Reply

OFFICIAL = "https://api.anthropic.com"
KEY_VARIABLE = "ANTHROPIC_API_KEY"
_PROBE_SECONDS = 10.0


class _Usage(BaseModel):
    input_tokens: int = 0
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int = 0


class _Block(BaseModel):
    type: str
    text: str = ""


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


class AnthropicWire:
    """The Messages protocol."""

    def __init__(self, address: Address) -> None:
        """Nothing is asked yet; Unavailable without the client, or without a key where one is needed."""
        if find_spec("anthropic") is None:
            raise Unavailable(
                "the package anthropic is not installed", remedy="pip install 'sharpen[anthropic]'"
            )
        import anthropic

        from sharpen.models.http_wire import Deadline

        key = os.environ.get(KEY_VARIABLE)
        if key is None and address.url == OFFICIAL:
            raise Unavailable(f"{KEY_VARIABLE} is not set", remedy=f"export {KEY_VARIABLE}=...")
        self._address, self._options = address, address.options
        self._client = anthropic.Anthropic(
            api_key=key or "none",
            base_url=address.url,
            timeout=self._options.timeout,
            max_retries=0,
            http_client=anthropic.DefaultHttpxClient(event_hooks=Deadline(self._options.timeout).hooks),
        )

    @property
    def name(self) -> str:
        """What the user called it."""
        return f"anthropic:{self._address.model}@{self._address.url}"

    @property
    def identity(self) -> JsonValue:
        """Endpoint and model name."""
        return ["anthropic", self._address.url, self._address.model]

    @property
    def capabilities(self) -> frozenset[Capability]:
        """JSON schemas, where the user says so."""
        return frozenset({Capability.SCHEMA} if self._options.json_schema else ())

    def probe(self) -> None:
        """Ask for the list of models."""
        import anthropic
        import httpx2

        from sharpen.models.http_wire import failures

        impatient = self._client.with_options(timeout=_PROBE_SECONDS, max_retries=1)
        try:
            with failures(anthropic, self.name, _PROBE_SECONDS, KEY_VARIABLE):
                impatient.get("/v1/models", cast_to=httpx2.Response)
        except Trouble as trouble:
            raise Unavailable(f"{self.name} {trouble.what}", remedy=trouble.remedy) from trouble

    def ask(self, request: Request) -> Reply:
        """One reply."""
        import anthropic
        import httpx2

        from sharpen.models.http_wire import failures, parsed

        body = self._body(request)
        with failures(anthropic, self.name, self._options.timeout, KEY_VARIABLE):
            answer = parsed(
                self._client.post("/v1/messages", cast_to=httpx2.Response, body=body).content, _Answer
            )
        usage = answer.usage
        read = (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
        reply = Reply(
            text="".join(block.text for block in answer.content if block.type == "text"),
            prompt_tokens=usage.input_tokens + read,
            tokens=usage.output_tokens,
            stop=_STOPS.get(answer.stop_reason or "", Stop.END),
        )
        return cut_off(reply, request.decoding.stop)

    def _body(self, request: Request) -> dict[str, JsonValue]:
        decoding, messages = request.decoding, request.messages
        body: dict[str, JsonValue] = {
            "model": self._address.model,
            "max_tokens": decoding.max_tokens,
            "messages": [
                {"role": m.role.value, "content": m.content} for m in messages if m.role is not Role.SYSTEM
            ],
        }
        if system := "\n\n".join(m.content for m in messages if m.role is Role.SYSTEM):
            body["system"] = system
        if self._options.sampling:
            body |= {"temperature": decoding.temperature, "top_p": decoding.top_p}
        # A stop text of white space alone is refused by the protocol; `cut_off` sees to it.
        if stops := [text for text in decoding.stop if text.strip()]:
            body["stop_sequences"] = list[JsonValue](stops)
        if request.prompt.schema:
            body["output_config"] = {"format": {"type": "json_schema", "schema": dict(request.prompt.schema)}}
        return body
