"""Whether two formulas are the same polynomial, exactly and quickly; no answer for anything else.

Numbers, letters, `\\pi`, roots of whole numbers, `+ - * ^`, brackets, fractions over whole numbers are read.
What could be read in two ways (`1/2x`, `xy`, `2\\frac12`, `x(x+1)`, `e`) is left to math-verify. Coefficients
are rational, pi is transcendental, and roots of different squarefree numbers are independent over the
rationals, so two of them are equal where all their terms are, and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Final

Monomial = tuple[tuple[str, int], ...]
"""Letters and roots with their powers, in order."""
Polynomial = Mapping[Monomial, Fraction]
"""Coefficients; none is zero."""

LETTER: Final = re.compile(r"[abchkmnp-z]", re.ASCII)
"""Not those that mean something else in mathematics: `d`, `e`, `i` and the like."""
TOKEN: Final = re.compile(
    rf"\d{{1,12}}(?:\.\d{{1,12}})?|\\(?:cdot|times|pi|frac|sqrt)(?![A-Za-z])|{LETTER.pattern}(?![A-Za-z])|[-+*/^(){{}}]",
    re.ASCII,
)
ENDS: Final = frozenset(["", "+", "-", ")", "}"])
"""What may follow a product."""
TIMES: Final = frozenset(["*", r"\cdot", r"\times"])
HIGHEST_POWER: Final = 9
HIGHEST_DEGREE: Final = 20
MOST_TERMS: Final = 64
MOST_BITS: Final = 1000
"""Of a coefficient's numerator and denominator."""
LARGEST_ROOT: Final = 10**6
MOST_BRACKETS: Final = 40
REMEMBERED: Final = 4096
ONE: Final[Polynomial] = {(): Fraction(1)}


def same_polynomial(wanted: str, found: str) -> bool | None:
    """Whether both are equal; None unless both are polynomials and, if equal, in the same letters."""
    one, other = polynomial(wanted), polynomial(found)
    if one is None or other is None:
        return None
    if one != other:
        return False
    return True if set(LETTER.findall(wanted)) == set(LETTER.findall(found)) else None


@lru_cache(maxsize=REMEMBERED)
def polynomial(text: str) -> Polynomial | None:
    """The terms of a formula without layout; None if it is none, is large, or could mean another."""
    tokens = TOKEN.findall(text)
    if not tokens or "".join(tokens) != text or text.count("(") + text.count("{") > MOST_BRACKETS:
        return None
    reader = _Reader(tokens)
    try:
        found = reader.sum()
    except _Unclear:
        return None
    return None if reader.next else found


class _Unclear(Exception):
    """Another one has to read this."""


class _Reader:
    """Recursive descent over tokens."""

    def __init__(self, tokens: list[str]) -> None:
        self._left = tokens[::-1]

    @property
    def next(self) -> str:
        return self._left[-1] if self._left else ""

    def take(self, *wanted: str) -> str:
        if not self._left or (wanted and self._left[-1] not in wanted):
            raise _Unclear
        return self._left.pop()

    def sum(self) -> Polynomial:
        terms: list[Polynomial] = []
        while not terms or self.next in ("+", "-"):
            sign = self.take() if self.next in ("+", "-") else "+"
            terms.append(_times({(): Fraction(f"{sign}1")}, self.product()))
        return _sum(terms)

    def product(self) -> Polynomial:
        found = self.power()
        while self.next not in ENDS:
            if self.next == "/":
                self.take()
                found = _times(found, {(): 1 / self.whole()})
                # What follows could stand above the line or below it.
                if self.next not in ENDS:
                    raise _Unclear
            elif self.next in TIMES:
                self.take()
                found = _times(found, self.power())
            else:
                found = _times(found, self.beside())
        return found

    def beside(self) -> Polynomial:
        """The next factor without a sign before it: a letter, pi, a root, or a bracket that holds one."""
        if not LETTER.match(self.next) and self.next not in (r"\pi", r"\sqrt"):
            raise _Unclear
        return self.power()

    def power(self) -> Polynomial:
        base = self.atom()
        if self.next != "^":
            return base
        self.take()
        power = self.braced() if self.next == "{" else self.whole()
        if power > HIGHEST_POWER:
            raise _Unclear
        found = ONE
        for _ in range(int(power)):
            found = _times(found, base)
        return found

    def atom(self) -> Polynomial:
        token = self.take()
        if token[0].isdigit():
            return _terms({(): Fraction(token)})
        if token == "(":
            inside = self.sum()
            self.take(")")
            return inside
        if token == r"\frac":
            self.take("{")
            above = self.sum()
            self.take("}")
            return _times(above, {(): 1 / self.braced()})
        if token == r"\sqrt":
            return _root(int(self.braced()))
        if token == r"\pi" or LETTER.fullmatch(token):
            return {((token, 1),): Fraction(1)}
        raise _Unclear

    def braced(self) -> Fraction:
        self.take("{")
        whole = self.whole()
        self.take("}")
        return whole

    def whole(self) -> Fraction:
        """A whole number above zero."""
        token = self.take()
        if not token.isdigit() or not int(token):
            raise _Unclear
        return Fraction(int(token))


def _root(square: int) -> Polynomial:
    """A root, with what is square under it before it."""
    if square > LARGEST_ROOT:
        raise _Unclear
    outside, factor = 1, 2
    while factor * factor <= square:
        if square % (factor * factor) == 0:
            square //= factor * factor
            outside *= factor
        else:
            factor += 1
    return {((rf"\sqrt{square}", 1),) if square > 1 else (): Fraction(outside)}


def _sum(terms: list[Polynomial]) -> Polynomial:
    total: dict[Monomial, Fraction] = {}
    for term in terms:
        for monomial, number in term.items():
            total[monomial] = total.get(monomial, Fraction(0)) + number
    return _terms(total)


def _times(one: Polynomial, other: Polynomial) -> Polynomial:
    return _sum([{_joined(a, b): x * y} for a, x in one.items() for b, y in other.items()])


def _joined(one: Monomial, other: Monomial) -> Monomial:
    if not one or not other:
        return one or other
    powers = dict(one)
    for letter, power in other:
        powers[letter] = powers.get(letter, 0) + power
    # Products of roots are roots of other numbers.
    roots = sum(power for letter, power in powers.items() if letter.startswith(r"\sqrt"))
    if roots > 1 or sum(powers.values()) > HIGHEST_DEGREE:
        raise _Unclear
    return tuple(sorted(powers.items()))


def _terms(found: dict[Monomial, Fraction]) -> Polynomial:
    """Without those that are zero; none of them large, and not many."""
    kept = {monomial: number for monomial, number in found.items() if number}
    largest = max(
        (max(n.numerator.bit_length(), n.denominator.bit_length()) for n in kept.values()), default=0
    )
    if len(kept) > MOST_TERMS or largest > MOST_BITS:
        raise _Unclear
    return kept
