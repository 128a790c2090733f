"""Calls of functions in what a local model writes, in the forms that chat templates teach.

Between `<tool_call>` marks stands one call as JSON, or a list of them (Hermes, Qwen, SmolLM); without marks
the whole reply is such JSON (Llama, Mistral). A call has a `name` that was offered and `arguments`
(or `parameters`), an object. What is anything else stays words, so that nothing is lost.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import NamedTuple

from pydantic import JsonValue

from sharpen.core.dialogue import Call, Tool
from sharpen.models.dialogue import MOST_CALL, read_arguments, read_json

OPEN, CLOSE = "<tool_call>", "</tool_call>"
MOST_CALLS = 32
"""Of one reply; what stands behind them are words."""
_DECODER = json.JSONDecoder()


class Read(NamedTuple):
    """A reply in two parts."""

    words: str
    calls: tuple[Call, ...]


def read_calls(text: str, tools: Sequence[Tool]) -> Read:
    """The calls in a reply of functions that were offered, and the words around them."""
    if not tools:
        return Read(text, ())
    names = {tool.name for tool in tools}
    if OPEN not in text:
        calls = _calls(read_json(text.strip()), names)
        return Read("" if calls else text, calls)
    words, *pieces = text.split(OPEN, MOST_CALLS)
    found: list[Call] = []
    for piece in pieces:
        inside, _, behind = piece.partition(CLOSE)
        value, rest = _first(inside.lstrip())
        calls = _calls(value, names)
        words += rest + behind if calls else OPEN + piece
        found += calls
    return Read(words.strip() if found else text, tuple(found[:MOST_CALLS]))


def opening(tools: Sequence[Tool]) -> str:
    """How a reply begins that is a call between marks: with the function's name where there is one alone."""
    start = f'{OPEN}\n{{"name": '
    return f'{start}{json.dumps(tools[0].name)}, "arguments": ' if len(tools) == 1 else f'{start}"'


def _first(text: str) -> tuple[JsonValue, str]:
    """The JSON value that a text begins with, and what stands behind it; None for none."""
    try:
        _, end = _DECODER.raw_decode(text[:MOST_CALL])
    except (ValueError, RecursionError):
        return None, text
    return read_json(text[:end]), text[end:].strip()


def _calls(value: JsonValue, names: Collection[str]) -> tuple[Call, ...]:
    """The calls that a value means; none if any part of it is something else."""
    calls = [_call(one, names) for one in (value if isinstance(value, list) else [value])]
    return tuple(call for call in calls if call is not None) if None not in calls else ()


def _call(value: JsonValue, names: Collection[str]) -> Call | None:
    if not isinstance(value, dict) or value.get("name") not in names:
        return None
    given = value.get("arguments", value.get("parameters", {}))
    arguments = read_arguments(given) if isinstance(given, str) else given
    return Call(name=str(value["name"]), arguments=arguments) if isinstance(arguments, dict) else None
