"""What clients are told of errors, as OpenAI says them: those of this package, and of missing routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sharpen.core.errors import Busy, SharpenError, TooLong
from sharpen.serve.metrics import Metrics
from sharpen.serve.wire import Refusal

Handler = Callable[[Request], Awaitable[Response]]
BAD = "invalid_request_error"


class Measured(Protocol):
    """Whoever counts replies."""

    metrics: Metrics


def refusal_of(error: SharpenError) -> Refusal:
    """The error for a client, who has no command line: advice about options is of no use there."""
    if isinstance(error, TooLong):
        problem = f"{error.problem}; shorten it, or leave out the oldest messages"
        return Refusal(400, BAD, problem, code="context_length_exceeded")
    return Refusal(400, BAD, str(error))


def counted(server: Measured, route: str, handle: Handler) -> Handler:
    """The handler with every error as the protocol says it, and every reply counted."""

    async def answered(request: Request) -> Response:
        try:
            response = await handle(request)
        except Refusal as refusal:
            response = JSONResponse(refusal.body, status_code=refusal.status)
        except Busy as busy:
            full = Refusal(503, "overloaded_error", str(busy)).body
            response = JSONResponse(full, status_code=503, headers={"retry-after": "1"})
        except SharpenError as error:
            told = refusal_of(error)
            response = JSONResponse(told.body, status_code=told.status)
        server.metrics.requests.labels(route, response.status_code).inc()
        return response

    return answered


def unrouted(routes: Sequence[str]) -> Callable[[Request, Exception], Response]:
    """Answers what no route takes, with the routes that there are."""

    def answered(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        asked = f"{request.method} {request.url.path[:80]}"
        problem = f"there is no {asked} here; routes: {', '.join(routes)}"
        code = "unknown_url" if error.status_code == 404 else None
        body = Refusal(error.status_code, BAD, problem, code=code).body
        return JSONResponse(body, status_code=error.status_code, headers=error.headers)

    return answered
