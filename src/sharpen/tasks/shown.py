"""Pictures that are shown with a question: read from a `data:` URL or a file, and decoded once to be sure.

A picture comes from whoever wrote the task or asks a server, so it is looked at with limits: bytes first,
then the kind by its first bytes, then the sides that its header tells, and only then its pixels.
"""

from __future__ import annotations

import struct
import zlib
from base64 import b64decode
from io import BytesIO
from pathlib import Path

from sharpen.core.dialogue import MOST_PICTURE_BYTES, Media, Picture
from sharpen.core.errors import BadInput, Unavailable

MOST_SIDE = 4096
"""Pixels of a picture's side."""
MOST_PICTURES = 16
"""Of one task."""
_FORMATS = {Media.PNG: "PNG", Media.JPEG: "JPEG", Media.GIF: "GIF", Media.WEBP: "WEBP"}
_BROKEN = (
    *(OSError, SyntaxError, EOFError, ValueError, TypeError, IndexError, KeyError, OverflowError),
    *(MemoryError, struct.error, zlib.error),
)
"""What decoders raise at what is no picture."""


def pictures_named(value: object, folder: Path) -> list[Picture]:
    """The pictures that a field of a task names: a path below the folder, a `data:` URL, or several."""
    given: list[object] = value if isinstance(value, list) else [value]
    names = [name for name in given if isinstance(name, str)]
    if len(given) > MOST_PICTURES or len(names) < len(given):
        raise BadInput(
            "picture", f"{value!r:.40}", "is no path and no list of some", remedy=f"at most {MOST_PICTURES}"
        )
    return [_picture(name, folder) for name in names]


def _picture(name: str, folder: Path) -> Picture:
    if name.startswith("data:"):
        return picture_in(name)
    if "://" in name:
        # As a path it would lose a slash, and the problem told would be a missing file.
        raise BadInput(
            "picture",
            f"{name:.80}",
            "is an address, and addresses are never fetched",
            remedy="give a file beside the tasks, or a data: URL",
        )
    return picture_at(Path(name), folder)


def picture_in(url: str) -> Picture:
    """The picture in a `data:` URL; BadInput if there is none, or one beyond the limits."""
    head, comma, data = url.partition(",")
    if not (head.startswith("data:image/") and head.endswith(";base64") and comma):
        raise _refused(url[:40], "is no data: URL with a picture in base64")
    if len(data) > MOST_PICTURE_BYTES * 4 // 3 + 4:
        raise _refused(head, "is too large")
    try:
        return decoded(b64decode(data, validate=True), head)
    except ValueError:
        raise _refused(head, "is no base64") from None


def picture_at(path: Path, folder: Path) -> Picture:
    """The picture in a file below a folder; BadInput if there is none, or one beyond the limits."""
    name = str(path)
    place = (folder / path).resolve()
    if path.is_absolute() or not place.is_relative_to(folder.resolve()):
        raise BadInput(
            "picture",
            name,
            "does not lie beside the tasks",
            remedy=f"put it in {folder} or below, and give its path from there",
        )
    if not place.is_file():
        raise BadInput(
            "picture",
            name,
            f"there is no such file in {folder}",
            remedy="check the path; it begins at the folder of the task file",
        )
    with place.open("rb") as handle:
        return decoded(handle.read(MOST_PICTURE_BYTES + 1), name)


def decoded(data: bytes, name: str) -> Picture:
    """The bytes as a picture, once all its pixels could be read; BadInput with its name otherwise."""
    try:
        from PIL import Image
    except ImportError as error:
        raise Unavailable(
            "pictures need the package pillow", remedy="pip install 'sharpen[pictures]'"
        ) from error
    picture = Picture.of(data)
    try:
        with Image.open(BytesIO(data), formats=[_FORMATS[picture.media]]) as image:
            if max(image.size) > MOST_SIDE:
                raise _refused(name, f"has {image.size[0]} x {image.size[1]} pixels")
            if getattr(image, "is_animated", False):
                raise _refused(name, "moves")
            image.load()
    except (*_BROKEN, Image.DecompressionBombError) as error:
        raise _refused(name, f"cannot be read ({type(error).__name__})") from None
    return picture


def _refused(name: str, problem: str) -> BadInput:
    limits = f"at most {MOST_SIDE} pixels a side and {MOST_PICTURE_BYTES >> 20} MiB"
    return BadInput("picture", name, problem, remedy=f"give a PNG, JPEG, GIF or WebP of {limits}")
