"""A pattern that captures the answer; what its last match captures must be the task's answer.

The pattern comes from the task's metadata `pattern`, else from the option `pattern`. It captures by a group
named `answer`, else by its first group, else as a whole. Runs in a worker, as patterns can take forever.
"""

from __future__ import annotations

import re

from sharpen.core.task import Task
from sharpen.core.verdict import Error, Verdict
from sharpen.verifiers.base import NO_ANSWER, RIGHT, Isolation, cases, wrong
from sharpen.verifiers.exact import normal

ISOLATION = Isolation.PROCESS


def verify(response: str, task: Task, *, pattern: str = "") -> Verdict:
    """1 if the last match captures the task's answer; Error if there is no pattern, or a broken one."""
    written = str(task.metadata.get("pattern") or pattern)
    if not written:
        return Error(
            kind="bad pattern", detail="neither the task nor the verifier has one: regex?pattern=..."
        )
    try:
        found = _last_capture(written, response)
    except re.error as error:
        return Error(kind="bad pattern", detail=str(error))
    if found is None:
        return NO_ANSWER
    return RIGHT if normal(found) == normal(task.answer) else wrong("the pattern captured another text")


def extract(response: str, *, pattern: str = "") -> str | None:
    """What the option's pattern captures; None without one."""
    found = _last_capture(pattern, response) if pattern else None
    return normal(found) if found else None


def _last_capture(pattern: str, response: str) -> str | None:
    compiled = re.compile(pattern)
    group: str | int = "answer" if "answer" in compiled.groupindex else min(1, compiled.groups)
    found = None
    for match in compiled.finditer(response):
        found = match[group]
    return found


CASES = (
    *cases(
        "ab12",
        metadata={"pattern": r"code: (\w+)"},
        gold=["code: ab12", "code: xy\ncode: ab12.", "The code: ab12"],
        near_miss=["code: ab1", "code: AB12", "ab12", "", "None", "code: ab12 code: xy"],
        attack=[r"code: (\w+)", ":", "code:", "Code: ab12", "code: \\w+", "code: .*"],
    ),
    *cases(
        "7",
        metadata={"pattern": r"(?P<key>k)=(?P<answer>\d)"},
        gold=["k=7"],
        near_miss=["k=8", "7", "k=7 k=1"],
    ),
)
