"""Puts many questions to one function of a foreign program, in one isolated process (see `calling`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pydantic import JsonValue

from sharpen.sandbox.calling import ENTRY, Called, call
from sharpen.sandbox.limits import Limits

__all__ = ["ABSTAINED", "ENTRY", "MAX_ANSWER", "Said", "ask"]

MAX_ANSWER = 2_000


class Said(NamedTuple):
    """What a program made of a question: an answer, or the reason why there is none."""

    answer: str
    reason: str = ""
    level: str = ""
    """How the program was held."""


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
    calls = [[question] for question in questions]
    called, ran = call(files, file, function, calls, limits=limits, text=True, longest=longest)
    return [_said(one, longest)._replace(level=ran.level) for one in called]


def _said(called: Called, longest: int) -> Said:
    if called.error:
        return Said("", called.error)
    answer = called.value
    return Said(answer[:longest]) if isinstance(answer, str) and answer.strip() else ABSTAINED
