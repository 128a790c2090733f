"""Calls a function of a foreign program, call by call: arguments go in, plain data comes out.

Each call is guarded by itself: one that raises, or takes more than its processor time, costs itself alone; a
program that ends or blocks its process costs what was not answered by then. The program sees one call at a
time, and nothing else of ours: no reference answers, no later calls. What it returns is taken apart where it
runs and built anew here from null, truth values, numbers, texts, lists, tuples, sets and dictionaries, so
that no object of the program is ever compared, printed or asked anything here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import JsonValue

from sharpen.core.errors import BadInput
from sharpen.sandbox.exchange import Exchange
from sharpen.sandbox.limits import AS_USUAL, Hold, Limits, Ran, Status
from sharpen.sandbox.process import run_python

ENTRY = "run.py"
"""Name of the file that calls; a program has no file of this name."""
DEEPEST = 50
"""Levels of nesting in what a call returns."""
MOST_ALIKE = 100
"""Keys of one dictionary, or members of one set, whose hash another one has already."""
HARNESS = """
import io, json, os, signal, sys

def plain(value, depth):
    if depth > DEEPEST:
        raise ValueError("returned something nested too deep")
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value) if type(value) is not kind else value
    if value is None:
        return None
    if isinstance(value, dict):
        return {"d": [[plain(k, depth + 1), plain(v, depth + 1)] for k, v in dict.items(value)]}
    for kind, name in ((list, "l"), (tuple, "t"), (set, "s"), (frozenset, "s")):
        if isinstance(value, kind):
            return {name: [plain(each, depth + 1) for each in kind.__iter__(value)]}
    raise TypeError("returned a " + type(value).__name__)

def main():
    asked, out = os.fdopen(os.dup(0), encoding="utf-8"), os.fdopen(3, "w", encoding="utf-8")
    order = json.loads(asked.readline())
    def stop(*_):
        raise TimeoutError(f"took more than {order['seconds']:g} s of processor time")
    sys.stdin, sys.stdout, sys.stderr = io.StringIO(), io.StringIO(), io.StringIO()
    signal.signal(signal.SIGPROF, stop)
    space = {"__name__": order["file"].removesuffix(".py"), "__file__": order["file"]}
    try:
        signal.setitimer(signal.ITIMER_PROF, order["seconds"])
        with open(order["file"], encoding="utf-8") as source:
            exec(compile(source.read(), order["file"], "exec"), space)
        if not callable(space.get(order["function"])):
            raise NameError(order["file"] + " defines no function " + order["function"])
        broken = ""
    except BaseException as error:
        broken = f"{type(error).__name__}: {error}"[:200]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    for line in asked:
        mark, _, words = line.partition(" ")
        try:
            signal.setitimer(signal.ITIMER_PROF, order["seconds"])
            if broken:
                raise RuntimeError(broken)
            if "random" in sys.modules:
                sys.modules["random"].seed(0)
            said = space[order["function"]](*json.loads(words))
            if order["text"]:
                said = None if said is None else str(said)[: order["longest"]]
            row = json.dumps({"answer": plain(said, 0)})
        except BaseException as error:
            row = json.dumps({"error": f"{type(error).__name__}: {error}"[:200]})
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        out.write(mark + " " + row + "\\n")
        out.flush()

main()
""".replace("DEEPEST", str(DEEPEST))


class Called(NamedTuple):
    """What came of a call."""

    value: object = None
    """What it returned, built anew."""
    error: str = ""
    """Why it returned nothing."""


def call(
    files: Mapping[str, bytes],
    file: str,
    function: str,
    calls: Sequence[Sequence[JsonValue]],
    *,
    limits: Limits,
    seconds: float = 1.0,
    text: bool = False,
    on: bool = True,
    longest: int = 50_000,
    hold: Hold = AS_USUAL,
) -> tuple[list[Called], Ran]:
    """What `function` of `file` returns for each list of arguments, in order, and how the program ended.

    `seconds` is the processor time of a call; one that evades that gets twice as much, and a second. With
    `text` the answers are made texts where the program runs, cut at `longest` characters. Without `on` the
    first call that fails is the last, and those after it have failed too.
    """
    if ENTRY in files:
        raise BadInput("files", ENTRY, "is the name of the file that calls", remedy="give it another name")
    head = {"file": file, "function": function, "seconds": seconds, "text": text, "longest": longest}
    asked = [json.dumps(list(arguments)) for arguments in calls]
    exchange = Exchange(
        json.dumps(head),
        asked,
        patience=2 * seconds + 1,
        longest=8 * longest,
        ends=lambda answer: not on and bool(_read(answer).error),
    )
    program = {**files, ENTRY: HARNESS.encode()}
    ran = run_python(program, ENTRY, limits=limits, exchange=exchange, hold=hold)
    found = [_read(answer) for answer in ran.answers]
    missing = found[-1] if exchange.done and found else Called(error=_reason(ran))
    return [*found, *[missing] * (len(calls) - len(found))], ran


def _read(answer: str) -> Called:
    try:
        row = json.loads(answer)
        if isinstance(row, dict) and "error" in row:
            return Called(error=str(row["error"])[:200])
        return Called(_built(row["answer"], 0))
    except (ValueError, RecursionError, KeyError, TypeError):
        return Called(error="it garbled what it was to report")


def _built(value: Any, depth: int) -> object:
    """The data that a tagged form stands for; ValueError for a form that there is not."""
    if depth > DEEPEST:
        raise ValueError("nested too deep")
    if not isinstance(value, dict):
        if isinstance(value, list):
            raise ValueError("a bare list")
        return value
    [(kind, rows)] = value.items()
    if not isinstance(rows, list):
        raise ValueError(kind)
    match kind:
        case "d":
            pairs = [(_built(k, depth + 1), _built(v, depth + 1)) for k, v in rows]
            return dict(zip(_spread([key for key, _ in pairs]), [value for _, value in pairs], strict=True))
        case "l":
            return [_built(each, depth + 1) for each in rows]
        case "t":
            return tuple(_built(each, depth + 1) for each in rows)
        case "s":
            return set(_spread([_built(each, depth + 1) for each in rows]))
    raise ValueError(kind)


def _spread(keys: list[object]) -> list[object]:
    """The keys; ValueError if a table of them would take the square of their number to make.

    Hashes of numbers can be chosen, those of texts cannot.
    """
    if len(keys) - len({hash(key) for key in keys}) > MOST_ALIKE:
        raise ValueError("keys of one hash")
    return keys


def _reason(ran: Ran) -> str:
    if ran.status is Status.OK:
        return "it ended before it had answered"
    return f"the process ended early: {ran.status} {ran.reason or ran.stderr}".strip()[:200]
