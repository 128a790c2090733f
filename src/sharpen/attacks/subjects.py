"""What is attacked, opened by the words that a user gives."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sharpen.attacks.hacks import Attacked, Summary, attack_loop, attack_verifier, summed
from sharpen.attacks.honest import honest_texts
from sharpen.attacks.worlds import attack_environment
from sharpen.core.errors import BadInput
from sharpen.core.task import Task
from sharpen.executors.pool import JudgePool
from sharpen.tasks.rows import Row, read_rows, refuse
from sharpen.tasks.source import load_tasks
from sharpen.verifiers.source import open_unproven, verifier_names

_TASKS = 4
"""Tasks of an environment that are played."""


class Cases(NamedTuple):
    """Tasks of a user's, with solutions that are known to be right."""

    tasks: Sequence[Task]
    right: Sequence[tuple[Task, str]]


def attack_shipped(*, most: int = 2) -> Summary:
    """Every hack against every verifier of this package, at so many tasks each, and against the loop."""
    with JudgePool() as pool:
        attacked = [
            attack_verifier(open_unproven(name, pool=pool), honest_texts(name), most=most)
            for name in verifier_names()
        ]
    return summed(attacked, attack_loop())


def attack_one(spec: str, cases: Path | None = None) -> Attacked:
    """Every hack against one verifier, on its own cases or those of a file; also a user's `module:function`.

    BadInput if there is no such verifier, or there are no tasks to attack it on.
    """
    given = read_cases(cases) if cases else Cases((), ())
    with JudgePool() as pool:
        verifier = open_unproven(_found(spec), pool=pool)
        if not given.tasks and not verifier.cases:
            raise BadInput("cases", None, f"{spec} has no CASES", remedy="give a file of them: --cases FILE")
        right = [*given.right, *([] if cases else honest_texts(verifier.name))]
        return attack_verifier(verifier, right, tasks=given.tasks, most=max(_TASKS, len(given.tasks)))


def attack_world(spec: str) -> Attacked:
    """Hostile moves against the environment that a task set is played in; BadInput where there is none."""
    tasks = load_tasks(spec, train=1, val=_TASKS, test=1).val
    if not all(task.environment for task in tasks):
        raise BadInput(
            "environment", spec, "is not played in an environment", remedy="e.g. hinted, bargaining"
        )
    return attack_environment(spec, tasks)


def read_cases(path: Path) -> Cases:
    """Rows of a JSONL or CSV file: `question`, `answer`; optional `right` (texts) and `metadata`."""
    tasks, right = list[Task](), list[tuple[Task, str]]()
    for row in read_rows(path):
        question, answer = (_text(path, row, name) for name in ("question", "answer"))
        metadata, texts = row.fields.get("metadata") or {}, row.fields.get("right") or [answer]
        if not isinstance(metadata, dict) or not isinstance(texts, list):
            refuse(
                path, row.line, "metadata is no object, or right is no list", "see `sharpen attack --help`"
            )
        tasks.append(Task.ask(question, answer, metadata=metadata))
        right += [(tasks[-1], str(text)) for text in texts]
    return Cases(tasks, right)


def _text(path: Path, row: Row, name: str) -> str:
    value = row.fields.get(name)
    if not isinstance(value, str | int | float):
        refuse(path, row.line, f"has no {name}", f"give every row a {name}")
    return str(value)


def _found(spec: str) -> str:
    """A verifier's spec; `module:function` becomes the file, which is looked up and not imported."""
    module, colon, function = spec.partition(":")
    if not colon or module.endswith(".py"):
        return spec
    for base in ("", *sys.path):
        path = Path(base, *module.split(".")).with_suffix(".py")
        if path.is_file():
            return f"{path}:{function}"
    raise BadInput("verifier", spec, f"there is no module {module}", remedy="give ./FILE.py:FUNCTION")
