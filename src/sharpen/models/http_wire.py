"""What wires over HTTP share: a deadline to the last byte, a bound on a reply's size, errors in words."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx2
from pydantic import BaseModel

from sharpen.core.errors import Unavailable
from sharpen.models.endpoint import LONGEST_WAIT, MOST_BYTES, Trouble

A = TypeVar("A", bound=BaseModel)
_BUSY = frozenset({408, 409, 429})
_BEGAN = "sharpen_began"


@dataclass(frozen=True)
class Deadline:
    """Hooks for an HTTP client: a reply that drips in more slowly than the deadline allows is a time-out.

    The client's own limits hold for each read alone, so that a byte at a time would keep a request for ever.
    """

    seconds: float

    @property
    def hooks(self) -> dict[str, list[Any]]:
        """For `event_hooks=` of the client."""
        return {"request": [self._begin], "response": [self._bound]}

    def _begin(self, request: httpx2.Request) -> None:
        request.extensions = {**request.extensions, _BEGAN: time.monotonic()}

    def _bound(self, response: httpx2.Response) -> None:
        end = response.request.extensions[_BEGAN] + self.seconds
        stream = response.stream
        assert isinstance(stream, httpx2.SyncByteStream)
        response.stream = _Bounded(stream, end, response.request)


class _Bounded(httpx2.SyncByteStream):
    """A reply's bytes, as long as they come in time and are not too many."""

    def __init__(self, stream: httpx2.SyncByteStream, end: float, request: httpx2.Request) -> None:
        self._stream, self._end, self._request = stream, end, request

    def __iter__(self) -> Iterator[bytes]:
        total = 0
        for piece in self._stream:
            total += len(piece)
            if time.monotonic() > self._end:
                raise httpx2.ReadTimeout("the reply is too slow", request=self._request)
            if total > MOST_BYTES:
                raise httpx2.ReadError("the reply is too long", request=self._request)
            yield piece

    def close(self) -> None:
        self._stream.close()


def parsed(content: bytes, kind: type[A]) -> A:
    """The reply as its model; ValueError for anything else.

    JSON may hold half a surrogate pair, which no stored text can: it becomes a question mark.
    """
    try:
        clean = json.dumps(json.loads(content), ensure_ascii=False).encode("utf-8", "replace")
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return kind.model_validate_json(clean)


@contextmanager
def failures(client: Any, name: str, seconds: float, key_variable: str) -> Iterator[None]:
    """Say what an error of the clients of OpenAI or Anthropic means; `client` is the package."""
    try:
        yield
    except client.APITimeoutError as error:
        raise Trouble(f"did not answer within {seconds:g} s", "raise timeout=") from error
    except client.APIConnectionError as error:
        raise Trouble("cannot be reached", "check the URL and that the server runs") from error
    except client.APIStatusError as error:
        if error.status_code in _BUSY or error.status_code >= 500:
            raise busy(error.status_code, error.response.headers) from error
        raise refused(name, error.status_code, str(error), key_variable) from error
    except ValueError as error:
        raise broken() from error


def busy(status: int, headers: httpx2.Headers) -> Trouble:
    """The endpoint cannot take the request now."""
    return Trouble(f"keeps answering {status}", "wait, or lower concurrency=", wait=_asked_wait(headers))


def refused(name: str, status: int, words: str, key_variable: str) -> Unavailable:
    """The endpoint will not take such requests."""
    return Unavailable(
        f"{name} refuses with {status}: {' '.join(words.split())[:200]}",
        remedy=f"check the model's name, the options and {key_variable}",
    )


def broken() -> Trouble:
    """The reply is none, or was cut off."""
    return Trouble("answers with something that is not its protocol", "check the URL", overload=False)


def _asked_wait(headers: httpx2.Headers) -> float | None:
    """Seconds that a reply asks to wait, where it says so in a number."""
    for header, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        text = headers.get(header, "")
        if text.replace(".", "", 1).isdigit():
            return min(float(text) / unit, LONGEST_WAIT)
    return None
