"""Dialogues with endpoints as texts, and calls of functions as models write them.

A message with pictures or calls stands in the prompt's text with all that it holds, so that equal prompts are
equal requests. What a call says was written by a model: it is data, and nothing here acts on it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from pydantic import JsonValue

from sharpen.core.dialogue import Tool
from sharpen.core.task import Message, Role

CHAT_MARK = "\x1dmessages\x1d"
"""Begins a prompt text that is a JSON list of messages; no task text begins so."""
PICTURES = '"pictures"'
"""Stands in the spelling of every dialogue with pictures."""
MOST_CALL = 100_000
"""Characters of a call's arguments beyond which they are not read."""


def text_tool(name: str, description: str, parameter: str, meaning: str) -> Tool:
    """A function of one text."""
    return Tool(
        name=name,
        description=description,
        parameters={
            "type": "object",
            "properties": {parameter: {"type": "string", "description": meaning}},
            "required": [parameter],
            "additionalProperties": False,
        },
    )


def read_arguments(text: str) -> dict[str, JsonValue] | None:
    """A call's arguments as a model wrote them; None for anything but a JSON object of a fair size."""
    found = read_json(text)
    return found if isinstance(found, dict) else None


def read_json(text: str) -> JsonValue:
    """What a model wrote as JSON; None for what is none, is too long, or could not be written down again."""
    try:
        found: JsonValue = json.loads(text) if len(text) <= MOST_CALL else None
        # Neither infinities nor halves of surrogate pairs can be sent or stored.
        json.dumps(found, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return found


class Spoken(NamedTuple):
    """A dialogue for protocols in which instructions stand apart."""

    system: str
    messages: Sequence[Message]


def spoken(messages: Sequence[Message]) -> Spoken:
    """The instructions as one text, then the rest."""
    system = "\n\n".join(message.content for message in messages if message.role is Role.SYSTEM)
    return Spoken(system, [message for message in messages if message.role is not Role.SYSTEM])


def called(messages: Sequence[Message], id: str) -> str:
    """Name of the function whose call has this id, where a protocol wants it with the result."""
    names = (call.name for message in messages for call in message.calls if call.id == id)
    return next(names, "")


def written(messages: Sequence[Message]) -> str:
    """Messages as JSON; one of words alone is spelt as it always was."""
    return json.dumps([_spelt(message) for message in messages])


def _spelt(message: Message) -> dict[str, JsonValue]:
    return message.model_dump(mode="json", exclude_defaults=True) | {
        "role": message.role.value,
        "content": message.content,
    }


def recorded(text: str) -> str:
    """A prompt's text as a trace keeps it: pictures by the hashes of their bytes."""
    if not (text.startswith(CHAT_MARK) and PICTURES in text):
        return text
    messages = [
        message.model_copy(update={"pictures": tuple(picture.told for picture in message.pictures)})
        for message in read(text.removeprefix(CHAT_MARK))
    ]
    return CHAT_MARK + written(messages)


def read(text: str) -> list[Message]:
    """What `written` wrote."""
    return [Message.model_validate(one) for one in json.loads(text)]
