"""Small RGB pictures as arrays and as PNG bytes. Bytes that a model made are decoded with limits only."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

Pixels = npt.NDArray[np.uint8]
"""Height x width x 3."""
MOST_BYTES = 1_000_000
MOST_SIDE = 1024
"""Pixels of a picture's side beyond which it is not decoded."""


def png_of(pixels: Pixels) -> bytes:
    """A picture as PNG bytes; equal pictures give equal bytes."""
    buffer = BytesIO()
    Image.fromarray(pixels, mode="RGB").save(buffer, format="PNG")
    return buffer.getvalue()


def pixels_of(data: bytes, *, most_side: int = MOST_SIDE) -> Pixels:
    """The picture in PNG bytes; ValueError if they are none, or beyond the limits.

    Size and number of frames are read off the header, so that nothing large is ever unpacked.
    """
    if len(data) > MOST_BYTES:
        raise ValueError(f"a picture of {len(data)} bytes is too large")
    try:
        with Image.open(BytesIO(data), formats=["PNG"]) as image:
            if max(image.size) > most_side or getattr(image, "n_frames", 1) > 1:
                raise ValueError(f"a picture of {image.size} pixels is too large")
            return np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise ValueError("not a readable PNG picture") from error
