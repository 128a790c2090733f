"""What a dialogue with an endpoint may hold beside words: pictures, calls of functions, and their results.

A message of this kind stands in the prompt's text with all that it holds, so that equal prompts are equal
requests. What a call says was written by a model: it is data, and nothing here acts on it.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from pydantic import JsonValue

from sharpen.core.errors import BadInput
from sharpen.core.records import Record
from sharpen.core.task import Message, Role

MOST_PICTURE_BYTES = 8 << 20
PICTURES = '"pictures"'
"""Stands in the spelling of every dialogue with pictures."""
MOST_CALL = 100_000
"""Characters of a call's arguments beyond which they are not read."""


class Media(StrEnum):
    """Kinds of pictures that endpoints read."""

    PNG = "image/png"
    JPEG = "image/jpeg"
    GIF = "image/gif"
    WEBP = "image/webp"


class Picture(Record):
    """A picture as its bytes stand, in base64; it is never decoded here."""

    media: Media
    data: str

    @classmethod
    def of(cls, data: bytes) -> Picture:
        """BadInput for bytes that begin like no picture of a known kind, or for too many."""
        media = media_of(data)
        if media is None or len(data) > MOST_PICTURE_BYTES:
            raise BadInput(
                "picture",
                f"{len(data)} bytes",
                "is no PNG, JPEG, GIF or WebP, or too large",
                remedy=f"give one of at most {MOST_PICTURE_BYTES >> 20} MiB",
            )
        return cls(media=media, data=b64encode(data).decode())

    @property
    def url(self) -> str:
        """As a `data:` URL."""
        return f"data:{self.media};base64,{self.data}"

    @property
    def bytes(self) -> bytes:
        """What it was made of."""
        return b64decode(self.data)


_BEGINNINGS = {
    Media.PNG: (b"\x89PNG\r\n\x1a\n", b""),
    Media.JPEG: (b"\xff\xd8\xff", b""),
    Media.GIF: (b"GIF8", b""),
    Media.WEBP: (b"RIFF", b"WEBP"),
}
"""The first bytes, and those from the ninth on."""


def media_of(data: bytes) -> Media | None:
    """What kind of picture bytes begin like; None for none of them."""
    return next((kind for kind, known in _BEGINNINGS.items() if _begins(data, known)), None)


def _begins(data: bytes, known: tuple[bytes, bytes]) -> bool:
    return data.startswith(known[0]) and data[8:].startswith(known[1])


class Tool(Record):
    """A function that a model may call; what it does is the caller's affair."""

    name: str
    description: str
    parameters: Mapping[str, JsonValue]
    """JSON schema of its arguments, an object."""


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


class Call(Record):
    """A model calls a function."""

    name: str
    arguments: Mapping[str, JsonValue] | None
    """None where it wrote what is no JSON object."""
    id: str = ""
    seal: str = ""
    """What the endpoint wants to see again with the call; opaque."""

    def text(self, parameter: str) -> str | None:
        """An argument that is a text; None if it is missing or something else."""
        value = self.arguments.get(parameter) if self.arguments else None
        return value if isinstance(value, str) else None


def read_arguments(text: str) -> dict[str, JsonValue] | None:
    """A call's arguments as a model wrote them; None for anything but a JSON object of a fair size."""
    try:
        found = json.loads(text) if len(text) <= MOST_CALL else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


class Said(Message):
    """A message with more than words."""

    pictures: tuple[Picture, ...] = ()
    calls: tuple[Call, ...] = ()
    """Of an assistant."""
    answers: str = ""
    """Id of the call whose result this is (role `tool`)."""


class Spoken(NamedTuple):
    """A dialogue for protocols in which instructions stand apart."""

    system: str
    messages: Sequence[Said]


def said(message: Message) -> Said:
    """A message of either kind."""
    return message if isinstance(message, Said) else Said(role=message.role, content=message.content)


def spoken(messages: Sequence[Said]) -> Spoken:
    """The instructions as one text, then the rest."""
    system = "\n\n".join(message.content for message in messages if message.role is Role.SYSTEM)
    return Spoken(system, [message for message in messages if message.role is not Role.SYSTEM])


def called(messages: Sequence[Said], id: str) -> str:
    """Name of the function whose call has this id, where a protocol wants it with the result."""
    names = (call.name for message in messages for call in message.calls if call.id == id)
    return next(names, "")


def written(messages: Sequence[Message]) -> str:
    """Messages as JSON; one of words alone is spelt as it always was."""
    return json.dumps([_spelt(said(message)) for message in messages])


def _spelt(message: Said) -> dict[str, JsonValue]:
    return message.model_dump(mode="json", exclude_defaults=True) | {
        "role": message.role.value,
        "content": message.content,
    }


def read(text: str) -> list[Said]:
    """What `written` wrote."""
    return [Said.model_validate(one) for one in json.loads(text)]
