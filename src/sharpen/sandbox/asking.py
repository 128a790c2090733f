"""Puts many questions to one function of a foreign program, in one isolated process.

Each question is guarded by itself: one that is not answered within a second, or fails, costs itself alone;
a program that ends its process costs what was not answered by then. The program sees the questions of one
call and its own files, nothing else: no reference answers, no run folder. What it writes to the standard
output by itself is no more than an answer it might as well have given.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import JsonValue

from sharpen.sandbox.process import Limits, Ran, Status, run_python

MAX_ANSWER = 2_000
ENTRY = "run.py"
"""Name of the file that asks; a program has no file of this name."""
HARNESS = """
import io, json, os, signal, sys

def stop(*_):
    raise TimeoutError("took more than a second")

out = os.fdopen(os.dup(1), "w")
order = json.loads(sys.stdin.read())
sys.stdin, sys.stdout, sys.stderr = io.StringIO(), io.StringIO(), io.StringIO()
signal.signal(signal.SIGPROF, stop)
space = {"__name__": order["file"].removesuffix(".py"), "__file__": order["file"]}
try:
    signal.setitimer(signal.ITIMER_PROF, 1.0)
    with open(order["file"], encoding="utf-8") as source:
        exec(compile(source.read(), order["file"], "exec"), space)
    if not callable(space.get(order["function"])):
        raise NameError(order["file"] + " defines no function " + order["function"])
    broken = ""
except BaseException as error:
    broken = f"{type(error).__name__}: {error}"[:200]
for place, question in enumerate(order["questions"]):
    try:
        signal.setitimer(signal.ITIMER_PROF, 1.0)
        if broken:
            raise RuntimeError(broken)
        if "random" in sys.modules:
            sys.modules["random"].seed(0)
        said = space[order["function"]](question)
        row = {"i": place, "answer": None if said is None else str(said)[:order["longest"]]}
    except BaseException as error:
        row = {"i": place, "error": f"{type(error).__name__}: {error}"[:200]}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    out.write(json.dumps(row) + "\\n")
    out.flush()
"""


class Said(NamedTuple):
    """What a program made of a question: an answer, or the reason why there is none."""

    answer: str
    reason: str = ""


ABSTAINED = Said("", "it does not apply")


def ask(
    files: Mapping[str, bytes],
    file: str,
    function: str,
    questions: Sequence[JsonValue],
    *,
    limits: Limits,
    longest: int = MAX_ANSWER,
) -> list[Said]:
    """What `function` of `file` says to each question, in order; answers are cut at `longest` characters."""
    order = {"file": file, "function": function, "questions": list(questions), "longest": longest}
    ran = run_python({**files, ENTRY: HARNESS.encode()}, ENTRY, stdin=json.dumps(order), limits=limits)
    found: dict[int, Said] = {}
    for line in ran.stdout.splitlines():
        row = _row(line)
        place = row.get("i")
        if type(place) is int and 0 <= place < len(questions):
            found.setdefault(place, _said(row, longest))
    missing = Said("", _reason(ran))
    return [found.get(place, missing) for place in range(len(questions))]


def _row(line: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return row if isinstance(row, dict) else {}


def _said(row: Mapping[str, Any], longest: int) -> Said:
    if "error" in row:
        return Said("", str(row["error"])[:200])
    answer = row.get("answer")
    return Said(answer[:longest]) if isinstance(answer, str) and answer.strip() else ABSTAINED


def _reason(ran: Ran) -> str:
    if ran.status is Status.OK:
        return "it garbled what it was to report"
    return f"the process ended early: {ran.status} {ran.reason or ran.stderr}".strip()[:200]
