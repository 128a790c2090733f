"""Small Python functions, or programs that read and print, judged by hidden tests.

A level sets how much a function must do: one formula; one pass over a list or text; a pass with a condition;
two of those, one after the other. The question shows two examples. The worked solution is the code alone.
Dial `style`: `function` asks for `f`, `program` for a program that reads its argument as one line.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from pydantic import JsonValue

from sharpen.core.errors import BadInput
from sharpen.core.seeds import random_for
from sharpen.core.task import Task
from sharpen.tasks.base import check_range

VERIFIER = "python"
LEVELS = range(1, 5)
SHOWN, HIDDEN = 2, 12
"""Tests in the question, and those that judge."""


class Style(StrEnum):
    """What is to be written."""

    FUNCTION = "function"
    PROGRAM = "program"


class Kind(StrEnum):
    """What a function takes."""

    NUMBER = "a whole number x"
    LIST = "a list x of whole numbers"
    TEXT = "a text x"


class Piece(NamedTuple):
    """Something to do with x: in words, as an expression, and done."""

    words: str
    code: str
    done: Callable[[Any], Any]


def _number(rng: random.Random) -> Piece:
    a, b, m = rng.randint(2, 19), rng.randint(1, 50), rng.randint(3, 19)
    return rng.choice(
        (
            Piece(f"{a} times x plus {b}", f"{a} * x + {b}", lambda x: a * x + b),
            Piece(f"x squared minus {b}", f"x * x - {b}", lambda x: x * x - b),
            Piece(f"the remainder of x plus {b} divided by {m}", f"(x + {b}) % {m}", lambda x: (x + b) % m),
            Piece(f"x divided by {m}, rounded down", f"x // {m}", lambda x: x // m),
            Piece(f"the larger one of x and {b}", f"max(x, {b})", lambda x: max(x, b)),
            Piece(f"the distance between x and {b}", f"abs(x - {b})", lambda x: abs(x - b)),
        )
    )


def _over_list(rng: random.Random) -> Piece:
    a, b, m = rng.randint(2, 19), rng.randint(-9, 9), rng.randint(2, 5)
    return rng.choice(
        (
            Piece(f"{a} times the sum of x, plus {b}", f"{a} * sum(x) + {b}", lambda x: a * sum(x) + b),
            Piece(f"how often {b} is in x, times {a}", f"{a} * x.count({b})", lambda x: a * x.count(b)),
            Piece(f"{a} times the largest in x, plus {b}", f"{a} * max(x) + {b}", lambda x: a * max(x) + b),
            Piece(f"every {m}th number of x, from the first on", f"x[::{m}]", lambda x: x[::m]),
            Piece(f"x with {b} put before it", f"[{b}] + x", lambda x: [b, *x]),
        )
    )


def _text(rng: random.Random) -> Piece:
    one, other, n = rng.choice("abcde"), rng.choice("vwxyz"), rng.randint(1, 4)
    return rng.choice(
        (
            Piece(f"how often {one} is in x", f"x.count({one!r})", lambda x: x.count(one)),
            Piece(
                f"x without its first {n} letters, and with {other} after it",
                f"x[{n}:] + {other!r}",
                lambda x: x[n:] + other,
            ),
            Piece(
                f"the last {n} letters of x, with {one} before them",
                f"{one!r} + x[-{n}:]",
                lambda x: one + x[-n:],
            ),
            Piece(f"x written {n + 1} times", f"x * {n + 1}", lambda x: x * (n + 1)),
            Piece(
                f"x with every {one} made {other}",
                f"x.replace({one!r}, {other!r})",
                lambda x: x.replace(one, other),
            ),
            Piece(
                f"x in reverse order with {other} after it",
                f"x[::-1] + {other!r}",
                lambda x: x[::-1] + other,
            ),
        )
    )


def _filtered(rng: random.Random) -> Piece:
    """Numbers of a list that meet a condition; again a list."""
    b, m, span = rng.randint(-8, 6), rng.randint(2, 6), rng.randint(2, 9)
    r = rng.randrange(m)
    conditions: Sequence[tuple[str, str, Callable[[int], bool]]] = (
        (f"greater than {b}", f"n > {b}", lambda n: n > b),
        (f"at most {b}", f"n <= {b}", lambda n: n <= b),
        (f"other than {b}", f"n != {b}", lambda n: n != b),
        (f"from {b} to {b + span}", f"{b} <= n <= {b + span}", lambda n: b <= n <= b + span),
        (
            f"greater than {b} and leave {r} when divided by {m}",
            f"n > {b} and n % {m} == {r}",
            lambda n: n > b and n % m == r,
        ),
        (
            f"less than {b + 3} or leave {r} when divided by {m}",
            f"n < {b + 3} or n % {m} == {r}",
            lambda n: n < b + 3 or n % m == r,
        ),
    )
    words, code, meets = rng.choice(conditions)
    return Piece(
        f"the numbers in x that are {words}",
        f"[n for n in x if {code}]",
        lambda x: [n for n in x if meets(n)],
    )


def _folded(rng: random.Random) -> Piece:
    """What becomes of a list that another step left, called y."""
    a = rng.randint(2, 9)
    return rng.choice(
        (
            Piece("how many there are", "len(y)", len),
            Piece("their sum", "sum(y)", sum),
            Piece(f"their sum times {a}", f"sum(y) * {a}", lambda y: sum(y) * a),
            Piece("them from the smallest to the largest", "sorted(y)", sorted),
            Piece(f"each of them plus {a}", f"[n + {a} for n in y]", lambda y: [n + a for n in y]),
            Piece("them in reverse order", "y[::-1]", lambda y: y[::-1]),
        )
    )


def _drawn(rng: random.Random, level: int) -> tuple[Kind, Piece, str]:
    """What it takes, what it does, and the body of a function that does it."""
    if level == 1:
        piece = _number(rng)
        return Kind.NUMBER, piece, f"    return {piece.code}"
    if level == 2:
        kind, piece = rng.choice(((Kind.LIST, _over_list(rng)), (Kind.TEXT, _text(rng))))
        return kind, piece, f"    return {piece.code}"
    kept, then = _filtered(rng), _folded(rng)
    if level == 3:
        return Kind.LIST, kept, f"    return {kept.code}"
    both = Piece(f"of {kept.words}, {then.words}", then.code, lambda x: then.done(kept.done(x)))
    return Kind.LIST, both, f"    y = {kept.code}\n    return {then.code}"


def _argument(rng: random.Random, kind: Kind) -> Any:
    match kind:
        case Kind.NUMBER:
            return rng.randint(-30, 60)
        case Kind.LIST:
            return [rng.randint(-9, 9) for _ in range(rng.randint(6, 20))]
        case Kind.TEXT:
            return "".join(rng.choices("abcdez", k=rng.randint(3, 14)))


def generate(rng: random.Random, *, level: int = 2, style: str = "function") -> Task:
    """Draw a task such as `Write a Python function f(x) ... returns 3 times x plus 4.`.

    BadInput for a level or style that there is not.
    """
    check_range("level", level, LEVELS)
    if style not in list(Style):
        raise BadInput("style", style, "is none", remedy=f"one of: {', '.join(Style)}")
    kind, piece, body = _drawn(rng, level)
    # Equal functions get equal tests, so that no function is in two splits with other examples.
    rng = random_for("functions", kind, piece.words)
    found = [(x, piece.done(x)) for x in (_argument(rng, kind) for _ in range(SHOWN + HIDDEN))]
    if style == Style.PROGRAM:
        return _program(kind, piece, body, found)
    shown = "\n".join(f"f({x!r}) returns {y!r}" for x, y in found[:SHOWN])
    question = f"Write a Python function f(x) that takes {kind} and returns {piece.words}.\n{shown}"
    code = f"def f(x):\n{body}"
    tests: list[JsonValue] = [[[x], y] for x, y in found[SHOWN:]]
    return Task.ask(question, code, solution=_fenced(code), metadata={"function": "f", "tests": tests})


def _program(kind: Kind, piece: Piece, body: str, found: Sequence[tuple[Any, Any]]) -> Task:
    """The same as a program: x is read as one line, numbers of a list with spaces between them."""
    read = {
        Kind.NUMBER: "int(input())",
        Kind.LIST: "[int(word) for word in input().split()]",
        Kind.TEXT: "input()",
    }
    rows = [(_line(x), _line(y)) for x, y in found]
    shown = "\n".join(f"For {json.dumps(x)} it prints {json.dumps(y)}" for x, y in rows[:SHOWN])
    question = f"Write a Python program that reads {kind} as one line and prints {piece.words}.\n{shown}"
    show = "print(*f(x)) if isinstance(f(x), list) else print(f(x))"
    code = f"def f(x):\n{body}\nx = {read[kind]}\n{show}"
    tests: list[JsonValue] = [[f"{x}\n", f"{y}\n"] for x, y in rows[SHOWN:]]
    return Task.ask(question, code, solution=_fenced(code), metadata={"tests": tests})


def _line(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _fenced(code: str) -> str:
    return f"```python\n{code}\n```"
