"""Who may talk to the live page: a browser on this machine, from the page itself, with the token.

Everything under /api/ needs the token that was printed at the start, in a header. No cookie is ever set, so
another page that makes the browser ask has nothing to ask with. The host must be loopback by name, or a
foreign name that was pointed at loopback could read along.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY = 10_000
"""Bytes of a request."""

SAFE_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
        " require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """Stands before the application and lets only its own page in."""

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        """`port` is the one that the server listens on."""
        self._app = app
        self._token = f"Bearer {token}".encode()
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on; every answer carries the same headers."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"there is nothing here that speaks {scope['type']}")

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add_headers(message, fixed=not scope["path"].startswith("/api/"))
            await send(message)

        refusal = self._refusal(scope, Headers(scope=scope))
        await (refusal or self._app)(scope, receive, guarded)

    def _refusal(self, scope: Scope, headers: Headers) -> JSONResponse | None:
        own = f"http://{headers.get('host')}"
        if headers.get("host") not in self._hosts or headers.get("origin", own) != own:
            return _refused(403, "this page answers only to itself, under the name of this machine")
        if not scope["path"].startswith("/api/"):
            return None
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return _refused(403, "another site asked for this")
        if not secrets.compare_digest(headers.get("authorization", "").encode(), self._token):
            return _refused(401, "the token is missing or wrong; `sharpen ui` printed it when it began")
        if scope["method"] == "POST" and not _small(headers):
            return _refused(413, f"a request has at most {LARGEST_BODY} bytes, and says how many")
        return None


def _small(headers: Headers) -> bool:
    length = headers.get("content-length", "")
    return length.isdecimal() and len(length) < 9 and int(length) <= LARGEST_BODY


def _refused(status: int, problem: str) -> JSONResponse:
    return JSONResponse({"error": problem}, status_code=status)


def _add_headers(message: Message, *, fixed: bool) -> None:
    headers = MutableHeaders(scope=message)
    headers["Cache-Control"] = "no-cache" if fixed else "no-store"
    for name, value in SAFE_HEADERS.items():
        headers[name] = value
