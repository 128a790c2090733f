"""The escape list against the sandbox, judged from outside."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field

from sharpen.attacks.broken import refusal
from sharpen.attacks.canary import Canary
from sharpen.core.records import Record
from sharpen.sandbox.calling import call
from sharpen.sandbox.limits import Hold, Limits, Ran, Status
from sharpen.sandbox.process import run_python

_LIST = Path(__file__).with_name("escapes.toml")
_SLACK = 20.0
"""Seconds beyond its own that a run may take on a busy machine: its start, and its end."""
_ROOM = 64 << 20
"""Bytes of memory beyond the limit that the kernel may count, such as those of libraries."""


class Escape(Record):
    """One way out."""

    id: str
    kind: str
    title: str
    program: str = ""
    limits: Limits = Field(default_factory=Limits)
    harmful: bool = False
    """Whether it does harm where nothing holds it, so that the outside is seen to see it."""
    calls: bool = False
    """Whether it is a function that is called, not a program that is run."""
    fails: bool = False
    """Whether no call of it may be answered."""
    ends: tuple[Status, ...] = ()
    """How it must end, if that matters."""
    broken: str = ""
    """Instead of a program: what is wrong with the sandbox."""


class Held(StrEnum):
    """What came of an escape."""

    CONTAINED = "contained"
    """It ran, and nothing was touched."""
    REFUSED = "refused"
    """It was not run, as the sandbox could not be had."""
    ESCAPED = "escaped"


class Escaped(Record):
    """One row of the report."""

    id: str
    kind: str
    title: str
    held: Held
    detail: str = ""
    """What was touched, or why it was refused."""


@cache
def escapes() -> tuple[Escape, ...]:
    """The whole list."""
    rows: Sequence[Mapping[str, Any]] = tomllib.loads(_LIST.read_text(encoding="utf-8"))["escape"]
    return tuple(Escape.model_validate(row) for row in rows)


def attack_sandbox(
    hold: Hold, chosen: Sequence[Escape] | None = None, *, told: Callable[[Escaped], None] | None = None
) -> tuple[Escaped, ...]:
    """Try every escape, or the chosen ones, against the sandbox at the hold's level; in order.

    Raises Unavailable where that level is not reached at all.
    """
    canary, rows = Canary(), list[Escaped]()
    try:
        for escape in escapes() if chosen is None else chosen:
            row = _broken(escape) if escape.broken else _tried(escape, hold, canary)
            if row.held is Held.ESCAPED:
                canary.close()
                canary = Canary()
            rows.append(row)
            if told is not None:
                told(row)
    finally:
        canary.close()
    return tuple(rows)


def harm_without(escape: Escape) -> list[str]:
    """What an escape that is harmful touches where nothing holds it."""
    assert escape.harmful
    canary = Canary()
    try:
        with tempfile.TemporaryDirectory() as folder:
            program = canary.facts(harmful=True) + escape.program
            Path(folder, "main.py").write_text(program, encoding="utf-8")
            # A shell in between, so that its parent is not this process.
            words = ["sh", "-c", '"$0" main.py "$1" <&-; true', sys.executable, canary.mark]
            said = _said(words, folder)
        return canary.harms() + canary.leaks(said)
    finally:
        canary.close()


def _said(words: Sequence[str], folder: str) -> str:
    with subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as run:
        try:
            out, _ = run.communicate(timeout=3)
        except subprocess.TimeoutExpired as late:
            run.kill()
            out = late.stdout or b""
    return out.decode("utf-8", "replace")


def _tried(escape: Escape, hold: Hold, canary: Canary) -> Escaped:
    program = (canary.facts(harmful=False) + escape.program).encode()
    start = time.monotonic()
    if escape.calls:
        called, ran = call({"main.py": program}, "main.py", "f", [[1], [2]], limits=escape.limits, hold=hold)
        answered = [repr(one.value) for one in called if not one.error]
        said = "".join(answered + [one.error for one in called])
        harms = ["an answer was taken"] if answered and escape.fails else []
    else:
        ran, said, harms = (
            run_python({"main.py": program}, "main.py", limits=escape.limits, hold=hold),
            "",
            [],
        )
    took = time.monotonic() - start
    harms += canary.leaks(ran.stdout + ran.stderr + ran.reason + said) + canary.harms()
    harms += _beyond(escape, ran, took) + _afterwards(hold)
    return Escaped(
        id=escape.id,
        kind=escape.kind,
        title=escape.title,
        held=Held.ESCAPED if harms else Held.CONTAINED,
        detail=", ".join(harms),
    )


def _beyond(escape: Escape, ran: Ran, took: float) -> list[str]:
    """Limits that were passed."""
    limits = escape.limits
    passed = {
        "time": took > limits.seconds + _SLACK,
        "memory": ran.peak > limits.memory + _ROOM,
        "output": len(ran.stdout) > limits.output or len(ran.stderr) > limits.output,
        f"an end as {ran.status}": bool(escape.ends) and ran.status not in escape.ends,
    }
    return [name for name, is_passed in passed.items() if is_passed]


def _afterwards(hold: Hold) -> list[str]:
    """Whether the next program finds the sandbox as it should be."""
    ran = run_python({"main.py": _NEXT}, "main.py", hold=hold)
    return [] if ran.stdout == "42 ['main.py']\n" and not ran.stderr else ["the next program is changed"]


_NEXT = b"import json, os, sys\nprint(6 * 7, os.listdir())\nos.listdir('..') == 1\n"


def _broken(escape: Escape) -> Escaped:
    refused, why = refusal(escape.broken)
    held = Held.REFUSED if refused else Held.ESCAPED
    return Escaped(id=escape.id, kind=escape.kind, title=escape.title, held=held, detail=why)
