"""What wires by the official clients of OpenAI and Anthropic share: those clients are built alike."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, JsonValue

from sharpen.core.errors import Unavailable
from sharpen.models.endpoint import Address, Trouble

A = TypeVar("A", bound=BaseModel)
_PROBE_SECONDS = 10.0


class Client(NamedTuple):
    """Whose client."""

    package: str
    """Also what wires of this kind are called, and the extra that brings it."""
    opens: str
    """Its class."""
    key_variable: str
    official: str
    """Address at which a key is needed."""
    models: str
    """Path of the list of models."""


def key_for(address: Address, *, official: str, variable: str) -> str:
    """The user's key; Unavailable without one where one is needed."""
    key = os.environ.get(variable)
    if key is None and address.url == official:
        raise Unavailable(f"{variable} is not set", remedy=f"export {variable}=...")
    return key or "none"


def require(module: str, package: str, extra: str) -> None:
    """Unavailable if the package is not installed."""
    top = module.partition(".")[0]
    if find_spec(top) is None or find_spec(module) is None:
        raise Unavailable(f"the package {package} is not installed", remedy=f"pip install 'sharpen[{extra}]'")


class ClientWire:
    """An address, asked by an official client."""

    def __init__(self, client: Client, address: Address) -> None:
        """Nothing is asked yet; Unavailable without the client, or without a key where one is needed."""
        require(client.package, client.package, client.package)
        from sharpen.models.http_wire import Deadline

        self._package: Any = import_module(client.package)
        self._kind, self._address, self._options = client, address, address.options
        hooks = Deadline(self._options.timeout).hooks
        self._client: Any = getattr(self._package, client.opens)(
            api_key=key_for(address, official=client.official, variable=client.key_variable),
            base_url=address.url,
            timeout=self._options.timeout,
            max_retries=0,
            http_client=self._package.DefaultHttpxClient(event_hooks=hooks),
        )

    @property
    def name(self) -> str:
        """What the user called it."""
        return f"{self._kind.package}:{self._address.model}@{self._address.url}"

    def probe(self) -> None:
        """Ask for the list of models; an endpoint that has none is there all the same."""
        import httpx2

        from sharpen.models.http_wire import failures

        patience, retries = min(_PROBE_SECONDS, self._options.timeout), min(1, self._options.retries)
        impatient = self._client.with_options(timeout=patience, max_retries=retries)
        try:
            with (
                failures(self._package, self.name, patience, self._kind.key_variable),
                suppress(self._package.NotFoundError),
            ):
                impatient.get(self._kind.models, cast_to=httpx2.Response)
        except Trouble as trouble:
            raise Unavailable(f"{self.name} {trouble.what}", remedy=trouble.remedy) from trouble

    def post(self, path: str, body: Mapping[str, JsonValue], kind: type[A]) -> A:
        """The reply to a request; Trouble for what may pass, Unavailable for what will not."""
        import httpx2

        from sharpen.models.http_wire import failures, parsed

        with failures(self._package, self.name, self._options.timeout, self._kind.key_variable):
            return parsed(self._client.post(path, cast_to=httpx2.Response, body=dict(body)).content, kind)
