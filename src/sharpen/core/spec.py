"""The one way to write a thing with options on one line: `name?key=value&key=value`."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

from pydantic import TypeAdapter, ValidationError

from sharpen.core.errors import BadInput


@dataclass(frozen=True)
class Spec:
    """A name and its options as written; values may use percent-escapes such as `%26` for `&`."""

    name: str
    options: Mapping[str, str]

    @classmethod
    def parse(cls, text: str, *, kind: str) -> Spec:
        """Read a spec; `kind` says in errors what it was meant to name."""
        name, _, rest = text.partition("?")
        if not name.strip():
            raise BadInput(kind, text, "names nothing", remedy="write name?key=value&key=value")
        options: dict[str, str] = {}
        for part in rest.split("&") if rest else []:
            key, equals, value = part.partition("=")
            if not key or not equals:
                raise BadInput(
                    kind, text, f"{part!r} is not key=value", remedy="write name?key=value&key=value"
                )
            if key in options:
                raise BadInput(kind, text, f"{key} is given twice", remedy="give every option once")
            options[key] = unquote(value)
        return cls(name.strip(), options)

    def __str__(self) -> str:
        written = "&".join(f"{key}={quote(value, safe='')}" for key, value in sorted(self.options.items()))
        return f"{self.name}?{written}" if written else self.name

    def without(self, *keys: str) -> Spec:
        """The same spec with fewer options."""
        return Spec(self.name, {key: value for key, value in self.options.items() if key not in keys})

    def bind(self, accepted: Mapping[str, typing.Any], *, kind: str) -> dict[str, typing.Any]:
        """Options as values of the accepted types; BadInput names what is legal.

        Numbers, texts and booleans are written plainly, lists and tuples as JSON.
        """
        values = {}
        for key, text in self.options.items():
            if key not in accepted:
                legal = ", ".join(accepted) or "none"
                raise BadInput(
                    f"{kind} option", key, f"{self.name} has no such option", remedy=f"legal: {legal}"
                )
            values[key] = _convert(f"{self.name}?{key}", text, accepted[key])
        return values


def dials(function: Callable[..., object]) -> dict[str, typing.Any]:
    """Names and types of a function's keyword-only parameters: the options it takes."""
    hints = typing.get_type_hints(function)
    parameters = inspect.signature(function).parameters.values()
    return {p.name: hints.get(p.name, str) for p in parameters if p.kind is p.KEYWORD_ONLY}


def _convert(field: str, text: str, kind: typing.Any) -> typing.Any:
    adapter = TypeAdapter(kind)
    container = typing.get_origin(kind) or kind
    try:
        if container in (list, tuple, dict, set):
            return adapter.validate_json(text)
        return adapter.validate_strings(text)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise BadInput(field, text, reason, remedy=f"give a value of type {_name(kind)}") from None


def _name(kind: typing.Any) -> str:
    if typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    return getattr(kind, "__name__", None) or str(kind).replace("typing.", "")
