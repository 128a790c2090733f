"""Exact value of a written arithmetic expression, by a parser of our own: nothing is ever executed."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

LONGEST = 300
TOKEN = re.compile(r"\s*(?:(?P<number>\d{1,12})(?![\d.])|(?P<sign>[-+*/()]))", re.ASCII)


class Evaluated(NamedTuple):
    """Value of an expression and the whole numbers written in it, in order."""

    value: Fraction
    numbers: tuple[int, ...]


def evaluate(text: str) -> Evaluated | None:
    """Value of an expression of whole numbers, `+ - * /` and round brackets; None if it is anything else.

    Longer than 300 characters, a power, a decimal, a name or a division by zero also give None.
    """
    tokens = _tokens(text)
    if not tokens:
        return None
    parser = _Parser(tokens)
    try:
        value = parser.sum()
    except (ZeroDivisionError, _NotArithmetic):
        return None
    if parser.place != len(tokens):
        return None
    return Evaluated(value, tuple(int(token) for token in tokens if token.isdigit()))


def _tokens(text: str) -> list[str]:
    """The tokens; empty if the text is too long or holds anything else."""
    stripped, tokens, place = text.strip(), [], 0
    if len(stripped) > LONGEST:
        return []
    while place < len(stripped):
        found = TOKEN.match(stripped, place)
        if found is None:
            return []
        tokens.append(found["number"] or found["sign"])
        place = found.end()
    return tokens


class _NotArithmetic(Exception):
    """The tokens are no expression."""


class _Parser:
    """Recursive descent over tokens; the depth is bounded by their number."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.place = 0

    def _take(self, *wanted: str) -> str | None:
        if self.place < len(self.tokens) and self.tokens[self.place] in wanted:
            self.place += 1
            return self.tokens[self.place - 1]
        return None

    def sum(self) -> Fraction:
        """Terms joined by `+` and `-`; the first may have a sign."""
        value = -self.product() if self._take("-") else self.product()
        while sign := self._take("+", "-"):
            term = self.product()
            value = value + term if sign == "+" else value - term
        return value

    def product(self) -> Fraction:
        """Factors joined by `*` and `/`."""
        value = self.factor()
        while sign := self._take("*", "/"):
            factor = self.factor()
            value = value * factor if sign == "*" else value / factor
        return value

    def factor(self) -> Fraction:
        """A number, or a sum in brackets."""
        if self._take("("):
            value = self.sum()
            if not self._take(")"):
                raise _NotArithmetic
            return value
        if self.place < len(self.tokens) and self.tokens[self.place].isdigit():
            self.place += 1
            return Fraction(int(self.tokens[self.place - 1]))
        raise _NotArithmetic
