"""Tokens as they are drawn, turned into text that can be sent at once and never has to be taken back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

_BROKEN = "\ufffd"
"""Ends a text whose last character is not complete yet."""


class Teller:
    """One sample's text, piece by piece; all pieces together are the final text.

    What may still change is held back: half a character, blanks that may turn out to be the last, and words
    that may be the beginning of a stop text.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], stops: Sequence[str], *, strip: bool) -> None:
        """`strip` if the final text has no blanks around it."""
        self._decode, self._stops, self._strip = decode, stops, strip
        self._tokens: list[int] = []
        self.sent = ""

    def hear(self, token: int) -> str:
        """What can be sent now that this token was drawn."""
        self._tokens.append(token)
        safe = self._safe(self._decode(self._tokens))
        return self._send(safe) if safe.startswith(self.sent) else ""

    def rest(self, final: str) -> str:
        """What is still to be sent when the sample has ended."""
        return self._send(final) if final.startswith(self.sent) else ""

    def _send(self, text: str) -> str:
        piece, self.sent = text[len(self.sent) :], text
        return piece

    def _safe(self, text: str) -> str:
        text = text.rstrip(_BROKEN)
        ends = [place for place in map(text.find, self._stops) if place >= 0]
        text = text[: min(ends)] if ends else text
        held = max((_overlap(text, stop) for stop in self._stops), default=0)
        text = text[: len(text) - held]
        return text.strip() if self._strip else text


def _overlap(text: str, stop: str) -> int:
    """Length of the longest beginning of a stop text that the text ends with."""
    return next((size for size in range(len(stop) - 1, 0, -1) if text.endswith(stop[:size])), 0)
