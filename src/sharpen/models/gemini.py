"""Models of Google, or behind an endpoint that speaks the Gemini protocol, by the official client."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pydantic import JsonValue

from sharpen.core.attempt import Stop
from sharpen.core.dialogue import Call, Calling, Tool
from sharpen.core.errors import Unavailable
from sharpen.core.task import Message, Role
from sharpen.models.base import Capability
from sharpen.models.client_wire import key_for, require
from sharpen.models.dialogue import called, spoken
from sharpen.models.endpoint import SEED_RANGE, Address, Endpoint, Request, Trouble, able, cut_off
from sharpen.models.replies import Reply

if TYPE_CHECKING:
    from google.genai import types

OFFICIAL = "https://generativelanguage.googleapis.com"
KEY_VARIABLE = "GEMINI_API_KEY"
_BUSY = frozenset({408, 409, 429})
_ENDS = {"STOP": Stop.END, "MAX_TOKENS": Stop.LENGTH}
"""All other reasons mean that there is no answer: safety, recitation, a block list ..."""


def open_gemini(written: str, *, probe: bool = True) -> Endpoint:
    """Open `NAME` at Google, or `NAME@URL?options`; `probe` asks whether anybody answers."""
    address = Address.parse(written, kind="gemini", official=OFFICIAL)
    endpoint = Endpoint(GeminiWire(address), address.options)
    if probe:
        endpoint.probe()
    return endpoint


class GeminiWire:
    """The `generateContent` protocol."""

    def __init__(self, address: Address) -> None:
        """Nothing is asked yet; Unavailable without the client, or without a key where one is needed."""
        require("google.genai", "google-genai", "gemini")
        import httpx2
        from google import genai
        from google.genai import types

        from sharpen.models.http_wire import Deadline

        key = key_for(address, official=OFFICIAL, variable=KEY_VARIABLE)
        self._address, self._options = address, address.options
        seconds = self._options.timeout
        http = httpx2.Client(timeout=seconds, event_hooks=Deadline(seconds).hooks, follow_redirects=True)
        options = types.HttpOptions(base_url=address.url, timeout=int(seconds * 1000), httpx_client=http)
        self._client = genai.Client(api_key=key, http_options=options)

    @property
    def name(self) -> str:
        """What the user called it."""
        return f"gemini:{self._address.model}@{self._address.url}"

    @property
    def identity(self) -> JsonValue:
        """Endpoint and model name."""
        return ["gemini", self._address.url, self._address.model]

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the user says."""
        return able(self._options)

    def probe(self) -> None:
        """Ask what the model is."""
        try:
            with self._failures():
                self._client.models.get(model=self._address.model)
        except Trouble as trouble:
            raise Unavailable(f"{self.name} {trouble.what}", remedy=trouble.remedy) from trouble

    def ask(self, request: Request) -> Reply:
        """One reply."""
        with self._failures():
            answer = self._client.models.generate_content(
                model=self._address.model, contents=_contents(request), config=self._config(request)
            )
            return cut_off(_reply(answer), request.decoding.stop)

    def _config(self, request: Request) -> types.GenerateContentConfig:
        from google.genai import types

        decoding, sampling = request.decoding, self._options.sampling is not False
        system, _ = spoken(request.messages)
        return types.GenerateContentConfig(
            system_instruction=system or None,
            temperature=decoding.temperature if sampling else None,
            top_p=decoding.top_p if sampling else None,
            seed=request.seed % SEED_RANGE if sampling else None,
            max_output_tokens=decoding.max_tokens,
            stop_sequences=list(decoding.stop) or None,
            response_mime_type="application/json" if request.prompt.schema else None,
            response_json_schema=dict(request.prompt.schema) if request.prompt.schema else None,
            tools=[*_tools(request.prompt.tools)] or None,
            tool_config=_must_call() if request.prompt.calling is Calling.MUST else None,
        )

    @contextmanager
    def _failures(self) -> Iterator[None]:
        import httpx2
        from google.genai import errors

        from sharpen.models.http_wire import broken, busy, refused

        try:
            yield
        except httpx2.TimeoutException as error:
            what = f"did not answer within {self._options.timeout:g} s"
            raise Trouble(what, "raise timeout=") from error
        except httpx2.TransportError as error:
            raise Trouble("cannot be reached", "check the URL and that the server runs") from error
        except errors.APIError as error:
            if error.code in _BUSY or error.code >= 500:
                headers = getattr(error.response, "headers", None)
                raise busy(error.code, httpx2.Headers(dict(headers or {}))) from error
            raise refused(self.name, error.code, str(error), KEY_VARIABLE) from error
        except ValueError as error:
            raise broken() from error


def _tools(tools: Sequence[Tool]) -> list[types.Tool]:
    from google.genai import types

    offered = [
        types.FunctionDeclaration(
            name=tool.name, description=tool.description, parameters_json_schema=dict(tool.parameters)
        )
        for tool in tools
    ]
    return [types.Tool(function_declarations=offered)] if offered else []


def _must_call() -> types.ToolConfig:
    from google.genai import types

    mode = types.FunctionCallingConfigMode.ANY
    return types.ToolConfig(function_calling_config=types.FunctionCallingConfig(mode=mode))


def _contents(request: Request) -> list[types.Content]:
    from google.genai import types

    _, messages = spoken(request.messages)
    return [
        types.Content(
            role="model" if message.role is Role.ASSISTANT else "user", parts=_parts(message, messages)
        )
        for message in messages
    ]


def _parts(message: Message, dialogue: Sequence[Message]) -> list[types.Part]:
    """Pictures, words, calls; the result of a call goes by its name."""
    from google.genai import types

    if message.answers:
        name, result = called(dialogue, message.answers), {"result": message.content}
        answer = types.FunctionResponse(id=message.answers, name=name, response=result)
        return [types.Part(function_response=answer)]
    seen = [
        types.Part(inline_data=types.Blob(data=picture.bytes, mime_type=picture.media.value))
        for picture in message.pictures
    ]
    calls = [
        types.Part(
            function_call=types.FunctionCall(id=call.id, name=call.name, args=dict(call.arguments or {})),
            thought_signature=b64decode(call.seal) if call.seal else None,
        )
        for call in message.calls
    ]
    words = [types.Part(text=message.content)] if message.content or not (seen or calls) else []
    return [*seen, *words, *calls]


def _calls(parts: Sequence[types.Part]) -> tuple[Call, ...]:
    """The functions that are called; the protocol need not tell calls apart, so their places do."""
    return tuple(
        Call(
            name=part.function_call.name or "",
            arguments=part.function_call.args,
            id=part.function_call.id or f"{part.function_call.name}-{place}",
            seal=b64encode(part.thought_signature).decode() if part.thought_signature else "",
        )
        for place, part in enumerate(parts)
        if part.function_call
    )


def _reply(answer: types.GenerateContentResponse) -> Reply:
    """The first candidate's text without its thoughts; a reply without candidates was refused."""
    usage = answer.usage_metadata
    candidate = answer.candidates[0] if answer.candidates else None
    if candidate is None and answer.prompt_feedback is None:
        raise ValueError("neither an answer nor a reason")
    parts = candidate.content.parts or [] if candidate and candidate.content else []
    reason = candidate.finish_reason.value if candidate and candidate.finish_reason else "none"
    thoughts = (usage.thoughts_token_count or 0) if usage else 0
    text = "".join(part.text or "" for part in parts if not part.thought)
    return Reply(
        text=text.encode("utf-8", "replace").decode(),
        prompt_tokens=(usage.prompt_token_count or 0) if usage else 0,
        tokens=thoughts + ((usage.candidates_token_count or 0) if usage else 0),
        stop=_ENDS.get(reason, Stop.FAILED),
        calls=_calls(parts),
    )
