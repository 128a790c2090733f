"""Foreign text made harmless for people's eyes: what a model wrote may not drive a terminal or a page."""

from __future__ import annotations

import unicodedata


def visible(text: str) -> str:
    r"""The text with everything that does not show spelled out, such as `\x1b` or `\u202e`.

    Line ends, tabs and spaces of all widths stay; controls, marks of direction, joiners and lone surrogates
    do not, so what is read is what stands there.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(sign if _shows(sign) else _spelled(sign) for sign in text)


def _shows(sign: str) -> bool:
    return sign.isprintable() or sign in "\n\t" or unicodedata.category(sign) == "Zs"


def _spelled(sign: str) -> str:
    return sign.encode("unicode_escape").decode()


def one_line(text: str, most: int) -> str:
    """The start of a text in one line of at most so many characters, and a sign that there is more."""
    line = visible(" ".join(text[: 4 * most].split()))
    return line if len(line) <= most and len(text) <= 4 * most else f"{line[:most]} ..."
