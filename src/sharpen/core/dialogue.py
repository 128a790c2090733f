"""What stands in a dialogue beside words: pictures, functions that may be called, and calls of them.

What a call says was written by a model: it is data, and nothing here acts on it.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property

from pydantic import JsonValue

from sharpen.core.errors import BadInput
from sharpen.core.records import Record, hash_bytes

MOST_PICTURE_BYTES = 8 << 20


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

    @cached_property
    def sha(self) -> str:
        """SHA-256 of its bytes: 64 hex digits."""
        return hash_bytes(self.bytes)

    @property
    def told(self) -> Picture:
        """The hash of its bytes in their place, for records that only say which picture was shown."""
        return Picture(media=self.media, data=f"sha256:{self.sha}")


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


class Calling(StrEnum):
    """Whether functions that are offered have to be called."""

    MAY = "may"
    MUST = "must"


class Shape(Record):
    """What an answer may or must be where it is not free text; by default it is."""

    tools: tuple[Tool, ...] = ()
    """Functions that it may call."""
    calling: Calling = Calling.MAY
    json_schema: Mapping[str, JsonValue] | None = None
    """JSON schema that it must fit, for models that can be held to one."""


FREE = Shape()
