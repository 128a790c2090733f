"""Where the final answer of a response stands, and what counts as one number.

A marker is `####`, `\\boxed{`, `<answer>`, `answer:` or `answer is` (any case). The last marker counts.
Its answer is the inside of the braces or of the tag, else the rest of the line, or the next line that is not
blank if the rest is. A response without a marker answers with its last line that is not blank.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

# One set of first characters, outside of what ignores case: places that cannot begin a marker are then
# skipped at a third of the cost, and this search is most of what a numeric check takes.
MARKER = re.compile(
    r"[#\\<aA](?i:(?<=#)###|(?P<box>(?<=\\)(?:boxed|fbox)\s*\{)|(?P<tag>(?<=<)answer>)"
    r"|(?<=\ba)nswer\s*(?:is\s*:?|:|=))"
)
NUMBER = re.compile(
    r"(?P<sign>[+-]?)\s?(?:\\?[$€£¥])?\s?"
    r"(?P<digits>(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)"
    r"(?:\s?/\s?(?P<below>\d+))?\s?(?P<percent>\\?%)?",
    re.ASCII,
)
SEVERAL = re.compile(r"±|\\pm|\d\s*(?:,|;|\bor\b|\band\b|\bto\b|/\s*or)\s*[-+$]?\d", re.ASCII)
MAX_NUMBER = 200
"""Characters of the longest number that is read."""
REMEMBERED = 4096
"""Samples of one task share its reference, and many of them their answer."""


class Final(NamedTuple):
    """The final answer of a response."""

    text: str
    """Without surrounding space, emphasis, dollar signs of LaTeX and the full stop."""
    raw: str
    """As it stands, without surrounding space."""
    marked: bool
    rest: str
    """What follows it, if it is marked."""


class Number(NamedTuple):
    """An exact number as written."""

    value: Fraction
    percent: bool

    def __str__(self) -> str:
        return f"{self.value}%" if self.percent else str(self.value)


def final_answer(response: str, *, several_lines: bool = False) -> Final | None:
    """The final answer; None if there is nothing. With `several_lines` it may run to the end."""
    marker = None
    for marker in MARKER.finditer(response):  # noqa: B007  # the last one
        pass
    if marker is None:
        lines = [line for line in response.splitlines() if line.strip()]
        text = response if several_lines else lines[-1] if lines else ""
        return _final(text, marked=False, rest="")
    tail = response[marker.end() :]
    if marker["box"]:
        return _final(*_braced(tail))
    if marker["tag"]:
        inside, closing, rest = tail.partition("</answer>")
        # A tag within a tag leaves it open which of the two is meant.
        return _final(inside, True, rest) if closing and closing not in rest else None
    return _final(tail, True, "") if several_lines else _final(*_first_line(tail))


def _final(text: str, marked: bool, rest: str) -> Final | None:
    bare = undress(text)
    return Final(bare, text.strip(), marked, rest) if bare else None


def _first_line(text: str) -> tuple[str, bool, str]:
    head, _, rest = text.lstrip("*_ \t\r\n").partition("\n")
    return head, True, rest


def _braced(text: str) -> tuple[str, bool, str]:
    """The inside of a group whose opening brace stands before the text; empty if it never closes."""
    depth = 1
    for place, sign in enumerate(text):
        depth += (sign == "{") - (sign == "}")
        if depth == 0:
            return text[:place], True, text[place + 1 :]
    return "", True, ""


def undress(text: str) -> str:
    """Take off surrounding space, emphasis, math delimiters and one full stop."""
    bare = text.strip()
    if bare.isalnum():
        return bare
    bare = bare.strip("*_`").strip()
    bare = bare.removesuffix(".").rstrip().strip("*_`").strip()
    if not bare.startswith(("$", "\\")):
        return bare
    for opening, closing in (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]")):
        inside = bare[len(opening) : -len(closing)]
        if (
            len(bare) > len(opening)
            and bare.startswith(opening)
            and bare.endswith(closing)
            and "$" not in inside
        ):
            return inside.strip()
    return bare


@lru_cache(maxsize=REMEMBERED)
def parse_number(text: str) -> Number | None:
    """The exact value of a text that is one number and nothing else; None otherwise.

    ASCII digits, optional sign (`-`, `+` or the typographic minus), thousands separators, decimals,
    a fraction a/b, a percent sign, a currency sign in front. No exponent, no unit, no list.
    """
    if len(text) > MAX_NUMBER:
        return None
    found = NUMBER.fullmatch(text.strip().replace("\u2212", "-"))
    if found is None:
        return None
    below = int(found["below"] or 1)
    if below == 0:
        return None
    value = Fraction(found["digits"].replace(",", "")) / below
    return Number(-value if found["sign"] == "-" else value, bool(found["percent"]))
