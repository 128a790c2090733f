"""Questions to a running program, one at a time: the next one is shown when the last has been answered.

Answers come on a pipe of their own, each marked with the nonce that came with its question, so what a program
prints is no answer, and none can be given before its question. A program that forges an answer has given that
answer: it is plain text here, cut at a length, and is looked at when the program is dead.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

_NONCE = 16
"""Bytes of chance in a mark."""


class Exchange:
    """The state of such a dialogue."""

    def __init__(
        self,
        head: str,
        questions: Sequence[str],
        *,
        patience: float = 2.0,
        longest: int = 1 << 16,
        ends: Callable[[str], bool] = lambda answer: False,
    ) -> None:
        """`head` is one line that comes before all; a question is one line too, an answer at most `longest`
        characters; `patience` is how many seconds of processor time an answer may take, so that none is late
        because a machine is busy; an answer that `ends` is the last.
        """
        self._head = head
        self._questions = questions
        self.patience = patience
        self.longest = longest
        self.answers: list[str] = []
        self.too_long = False
        self._ends = ends
        self._over = False
        self._nonce = b""
        self._heard = b""

    @property
    def done(self) -> bool:
        """Whether there is nothing more to be answered."""
        return self._over or len(self.answers) == len(self._questions)

    def opening(self) -> bytes:
        """What is said first."""
        return _line(self._head) + self._next()

    def hear(self, piece: bytes) -> bytes:
        """Take a piece of what was answered; what is to be said next, if anything."""
        reply = b""
        *lines, self._heard = (self._heard + piece).split(b"\n")
        for line in lines:
            mark, _, answer = line.partition(b" ")
            if mark == self._nonce and not self.done:
                self.answers.append(answer.decode("utf-8", "replace")[: self.longest])
                self._over = self._ends(self.answers[-1])
                reply += self._next()
        self.too_long = len(self._heard) > 4 * self.longest
        return reply

    def _next(self) -> bytes:
        if self.done:
            return b""
        self._nonce = secrets.token_hex(_NONCE).encode()
        return self._nonce + b" " + _line(self._questions[len(self.answers)])


def _line(text: str) -> bytes:
    return text.replace("\n", " ").encode("utf-8", "replace") + b"\n"
