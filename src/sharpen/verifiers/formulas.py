"""Whether two LaTeX formulas mean the same: math-verify's opinion and a second look by evaluation.

Import this in a worker process only: parsing and simplifying can take forever.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Any

import sympy
from math_verify import LatexExtractionConfig, parse, verify
from sympy.core.relational import Relational

logging.getLogger("math_verify").setLevel(logging.ERROR)

DIGITS = 40
TOLERANCE = sympy.Float(f"1e-{30}", DIGITS)
POINTS = (sympy.Rational(7, 5), sympy.Rational(-11, 13), sympy.Rational(19, 7))
MOST_ELEMENTS = 12
REMEMBERED = 1024
"""Samples of one task share its reference, and many of them their answer; parsing one takes 10 to 200 ms."""


@lru_cache(maxsize=REMEMBERED)
def same_formula(wanted: str, found: str) -> bool:
    """Whether both parse, math-verify calls them equal, and evaluation does not contradict.

    Evaluation is asked first: math-verify may take half a second to find no reason why two should be equal.
    """
    sides = [_parsed(wanted), _parsed(found)]
    return None not in sides and _confirmed(*sides) and bool(verify(*sides, timeout_seconds=None))


@lru_cache(maxsize=REMEMBERED)
def _parsed(text: str) -> Any:
    found = parse(f"${text}$", [LatexExtractionConfig()], fallback_mode="no_fallback", parsing_timeout=None)
    return found[0] if len(found) == 1 else None


def _confirmed(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, Relational) and isinstance(found, Relational):
        return _same_relation(wanted, found)
    if isinstance(wanted, sympy.MatrixBase) and isinstance(found, sympy.MatrixBase):
        return wanted.shape == found.shape and all(map(_confirmed, wanted, found))
    if isinstance(wanted, sympy.Expr) and isinstance(found, sympy.Expr):
        return _same_value(wanted, found)
    if isinstance(wanted, sympy.Interval) and isinstance(found, sympy.Interval):
        return all(map(_confirmed, wanted.args[:2], found.args[:2])) and wanted.args[2:] == found.args[2:]
    if _is_collection(wanted) and _is_collection(found):
        return _same_elements(wanted, found)
    return bool(wanted == found)


def _is_collection(value: Any) -> bool:
    return isinstance(value, sympy.FiniteSet | sympy.Tuple)


def _same_elements(wanted: Any, found: Any) -> bool:
    if len(wanted.args) != len(found.args) or len(wanted.args) > MOST_ELEMENTS:
        return False
    if isinstance(wanted, sympy.Tuple) and isinstance(found, sympy.Tuple):
        return all(map(_confirmed, wanted.args, found.args))
    return all(any(_confirmed(one, other) for other in found.args) for one in wanted.args)


def _same_relation(wanted: Any, found: Any) -> bool:
    """Equal up to a constant factor: one left side minus right side is a multiple of the other."""
    first, second = _canonical(wanted), _canonical(found)
    if type(first) is not type(second) or first.free_symbols != second.free_symbols:
        return False
    ratios = [_ratio(first, second, shift) for shift in range(len(POINTS))]
    if any(ratio is None for ratio in ratios):
        return False
    constant = all(_close(ratio, ratios[0]) for ratio in ratios)
    return constant and (isinstance(first, sympy.Eq) or bool(ratios[0] > 0))


def _canonical(relation: Any) -> Any:
    """Less-than relations turned round, so that only equality, `>` and `>=` are left."""
    turned = isinstance(relation, sympy.Lt | sympy.Le)
    return relation.reversed if turned else relation


def _ratio(first: Any, second: Any, shift: int) -> Any:
    above, below = (_evaluated(side.lhs - side.rhs, shift) for side in (first, second))
    if above is None or below is None or above == 0 or below == 0:
        return None
    return above / below


def _same_value(wanted: Any, found: Any) -> bool:
    if wanted.free_symbols != found.free_symbols:
        return bool(wanted == found)
    shifts = range(len(POINTS)) if wanted.free_symbols else [0]
    pairs = [(_evaluated(wanted, shift), _evaluated(found, shift)) for shift in shifts]
    defined = [(one, other) for one, other in pairs if one is not None and other is not None]
    return bool(wanted == found) if not defined else all(_close(one, other) for one, other in defined)


def _evaluated(value: Any, shift: int) -> Any:
    """A number of 40 digits, with the symbols, in the order of their names, set to fixed points."""
    symbols = sorted(value.free_symbols, key=str)
    points = {symbol: POINTS[(place + shift) % len(POINTS)] + place for place, symbol in enumerate(symbols)}
    exact = value.replace(lambda part: part.is_Float, lambda part: sympy.Rational(str(part)))
    number = sympy.N(exact.doit().subs(points), DIGITS)
    return number if number.is_number and number.is_finite else None


def _close(one: Any, other: Any) -> bool:
    return bool(abs(one - other) <= TOLERANCE * max(abs(one), abs(other)))
