"""The server: an ASGI application with the routes of the OpenAI protocol, health and metrics."""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from sharpen.core.attempt import Attempt
from sharpen.core.engine import Decoder
from sharpen.core.policy import Decoding
from sharpen.serve.answering import Asked
from sharpen.serve.batching import Answer, Batcher
from sharpen.serve.errors import BAD, counted, unrouted
from sharpen.serve.events import Stream
from sharpen.serve.metrics import Metrics
from sharpen.serve.served import Served
from sharpen.serve.wanted import all_wanted
from sharpen.serve.wire import (
    MOST_BODY,
    ChatRequest,
    Common,
    Envelope,
    Refusal,
    TextRequest,
    ignored,
    spoken,
    usage_of,
)

Body = ChatRequest | TextRequest
B = TypeVar("B", bound=Common)


class Limits(NamedTuple):
    """What one server takes."""

    rows: int = 64
    """Samples that are drawn together."""
    waiting: int = 256
    """Requests in line."""
    max_tokens: int = 4096
    """Longest answer that may be asked for."""
    seconds: float = 600.0
    """From a request to its answer."""
    key: str = ""
    """What clients must show as their API key; empty for none."""
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost")
    """Names by which the server may be called; others are refused, so that no web page reaches it."""


class Server:
    """Routes over one batcher."""

    def __init__(self, served: Served, limits: Limits) -> None:
        """Starts the thread that answers."""
        self.served, self.limits = served, limits
        self.batcher = Batcher(
            served,
            rows=limits.rows,
            waiting=limits.waiting,
            watch=lambda rows: self.metrics.rows.observe(rows),
        )
        self.metrics = Metrics(lambda: self.batcher.waiting)

    async def chat(self, request: Request) -> Response:
        """`POST /v1/chat/completions`."""
        return await self._reply(request, ChatRequest)

    async def text(self, request: Request) -> Response:
        """`POST /v1/completions`."""
        return await self._reply(request, TextRequest)

    async def models(self, request: Request) -> Response:
        """`GET /v1/models`: the one that is served."""
        self._authorise(request)
        return JSONResponse({"object": "list", "data": [self._about()]})

    async def model(self, request: Request) -> Response:
        """`GET /v1/models/NAME`."""
        self._authorise(request)
        self._check_named(request.path_params["name"])
        return JSONResponse(self._about())

    def _about(self) -> dict[str, str | int]:
        return {"id": self.served.name, "object": "model", "created": 0, "owned_by": "sharpen"}

    def _check_named(self, name: str) -> None:
        if name != self.served.name:
            problem = f"there is no model {name[:80]!r}; it is {self.served.name!r}"
            raise Refusal(404, BAD, problem, "model", "model_not_found")

    async def health(self, request: Request) -> Response:
        """`GET /health`."""
        fine = self.batcher.alive
        about = {
            "status": "ok" if fine else "dead",
            "model": self.served.name,
            "waiting": self.batcher.waiting,
        }
        return JSONResponse({**about, "policy": self.served.policy.version}, status_code=200 if fine else 503)

    async def numbers(self, request: Request) -> Response:
        """`GET /metrics`."""
        return PlainTextResponse(self.metrics.text(), media_type="text/plain; version=0.0.4")

    async def _reply(self, request: Request, kind: type[Body]) -> Response:
        start = time.perf_counter()
        self._authorise(request)
        body = await self._body(request, kind)
        asked = await asyncio.to_thread(self._asked, body)
        if body.stream and len(asked) > 1:
            raise Refusal(400, BAD, "prompt: of several none can be streamed; send one at a time", "prompt")
        envelope = Envelope.new(self.served.name, chat=kind is ChatRequest)
        if body.stream:
            return self._streamed(body, asked[0], envelope, start)
        groups = await self._answers(asked)
        reply = envelope.wrap(self._choices(groups, body, asked, envelope), usage=usage_of(groups))
        self._count(groups, start)
        return JSONResponse(reply)

    def _authorise(self, request: Request) -> None:
        shown = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self.limits.key and not hmac.compare_digest(shown.encode(), self.limits.key.encode()):
            raise Refusal(401, "authentication_error", "the API key is missing or wrong")

    async def _body(self, request: Request, kind: type[Body]) -> Body:
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise Refusal(415, BAD, "the request must be application/json")
        data = b""
        async for piece in request.stream():
            data += piece
            if len(data) > MOST_BODY:
                raise Refusal(413, BAD, f"the request has more than {MOST_BODY} bytes")
        return parsed(data, kind)

    def _asked(self, body: Body) -> list[Asked]:
        """The request as the policy is asked it: a dialogue, or every text."""
        self._check_named(body.model)
        limit = body.limit or min(self.served.max_tokens, self.limits.max_tokens)
        if limit > self.limits.max_tokens:
            raise Refusal(400, BAD, f"at most {self.limits.max_tokens} tokens can be asked for", "max_tokens")
        warmth = self.served.temperature if body.temperature is None else body.temperature
        decoding = Decoding(warmth, body.top_p or 1.0, limit, body.stops)
        return [
            Asked(
                task=one.task,
                decoding=decoding,
                seed=secrets.randbits(62) if body.seed is None else body.seed,
                samples=body.n or 1,
                raw=one.raw,
                shape=one.shape,
                form=one.form,
                one_call=isinstance(body, ChatRequest) and body.parallel_tool_calls is False,
                free=body.seed is None,
            )
            for one in all_wanted(self.served, body)
        ]

    async def _answers(self, asked: Sequence[Asked]) -> list[tuple[Attempt, ...]]:
        """The samples of each; where one cannot be answered the others leave the line."""
        line: list[Answer] = []
        try:
            line.extend(self.batcher.submit(one) for one in asked)
            together = asyncio.gather(*map(asyncio.wrap_future, line))
            return await asyncio.wait_for(together, timeout=self.limits.seconds)
        except TimeoutError:
            seconds = f"{self.limits.seconds:g} s"
            raise Refusal(504, "timeout", f"there is no answer after {seconds}") from None
        finally:
            for answer in line:
                answer.cancel()

    def _choices(
        self,
        groups: Sequence[Sequence[Attempt]],
        body: Body,
        asked: Sequence[Asked],
        envelope: Envelope,
    ) -> list[Any]:
        samples = [
            spoken(attempt, one) for one, attempts in zip(asked, groups, strict=True) for attempt in attempts
        ]
        texts = None
        if body.logprobs is not None and body.logprobs is not False:
            model = self.served.model
            if any(sample.logprobs is None for sample in samples) or not isinstance(model, Decoder):
                raise Refusal(400, BAD, "this policy's answers have no log-probabilities", "logprobs")
            texts = {token: model.decode([token]) for sample in samples for token in sample.tokens}
        return [envelope.choice(index, sample, texts) for index, sample in enumerate(samples)]

    def _count(self, groups: Sequence[Sequence[Attempt]], start: float) -> None:
        usage = usage_of(groups)
        for kind in ("prompt", "completion"):
            self.metrics.tokens.labels(kind).inc(float(str(usage[f"{kind}_tokens"])))
        self.metrics.seconds.observe(time.perf_counter() - start)

    def _streamed(self, body: Body, asked: Asked, envelope: Envelope, start: float) -> Response:
        # What is held against a form, or may turn out to be a call, can be told only when it is whole.
        model = self.served.model
        alone = self.served.workflow is None and asked.form is None and not asked.shape.tools
        decode = model.decode if isinstance(model, Decoder) else None
        stops = asked.decoding.stop or self.served.policy.prompt.stop
        stream = Stream(envelope, asked, decode or (lambda ids: ""), stops)
        answer = self.batcher.submit(replace(asked, hear=stream.hear if decode and alone else None))
        answer.add_done_callback(stream.end)
        events = stream.events(
            answer,
            usage=bool(body.stream_options and body.stream_options.include_usage),
            seconds=self.limits.seconds,
            done=lambda attempts: self._count([attempts], start),
        )
        return StreamingResponse(
            events, media_type="text/event-stream", headers={"cache-control": "no-cache"}
        )


def parsed(data: bytes, kind: type[B]) -> B:
    """The request as a record; a Refusal names the field that is wrong."""
    try:
        body = json.loads(data)
        if not isinstance(body, dict):
            raise Refusal(400, BAD, "the request must be a JSON object")
        if name := ignored(body, chat=kind is ChatRequest):
            raise Refusal(400, BAD, f"{name} is not supported by this server", name)
        return kind.model_validate(body)
    except ValidationError as error:
        # Of several readings of a field the one that came furthest says what is wrong.
        first = max(error.errors(), key=lambda found: len(found["loc"]))
        place, problem = _place(first["loc"]), first["msg"].removeprefix("Value error, ")
        raise Refusal(400, BAD, f"{place or 'request'}: {problem}", place or None) from None
    except (ValueError, RecursionError):
        raise Refusal(400, BAD, "the request is no JSON") from None


def _place(parts: Sequence[str | int]) -> str:
    """Where in the request, without the names of readings that pydantic puts between."""
    named = [str(part) for part in parts if part != "str" and "[" not in str(part)]
    return ".".join(part for part, before in zip(named, ["", *named], strict=False) if part != before)


def application(served: Served, limits: Limits | None = None) -> Starlette:
    """The server for a policy; it answers until the application is shut down."""
    limits = limits or Limits()
    server = Server(served, limits)
    routes = [
        ("/v1/chat/completions", "POST", server.chat),
        ("/v1/completions", "POST", server.text),
        ("/v1/models", "GET", server.models),
        ("/v1/models/{name:path}", "GET", server.model),
        ("/health", "GET", server.health),
        ("/metrics", "GET", server.numbers),
    ]

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(server.batcher.close)

    return Starlette(
        routes=[Route(path, counted(server, path, handle), methods=[verb]) for path, verb, handle in routes],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(limits.hosts), www_redirect=False)],
        exception_handlers={code: unrouted([path for path, *_ in routes]) for code in (404, 405)},
        lifespan=lifespan,
    )
