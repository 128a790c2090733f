"""Task sets from a user's JSONL or CSV file: fields, duplicates and the split.

A question that occurs twice is kept once. Near-duplicates stay on one side of the split. A column `split`
(train, val, test) is respected; otherwise the content of a question decides where it goes, so that a file
that grows leaves its old tasks where they were: 60 % train, 15 % val, 25 % test.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sharpen.core.errors import BadInput
from sharpen.core.seeds import seed_for
from sharpen.core.task import Split, Task
from sharpen.tasks.duplicates import clusters, normal
from sharpen.tasks.rows import Row, read_rows, refuse

QUESTION_FIELDS = ("question", "prompt", "problem", "input")
ANSWER_FIELDS = ("answer", "target", "label", "gold")
SOLUTION_FIELDS = ("solution", "rationale", "explanation")
CHOICE_FIELDS = ("choices", "options")
SPLIT_FIELD = "split"
SPLITS: Mapping[str, Split] = {
    "train": Split.TRAIN,
    "val": Split.VAL,
    "valid": Split.VAL,
    "validation": Split.VAL,
    "dev": Split.VAL,
    "test": Split.TEST,
}
SHARES = ((Split.TEST, 0.25), (Split.VAL, 0.40), (Split.TRAIN, 1.0))
"""Upper ends of the splits on the line from 0 to 1 on which questions are hashed."""
MARK = "####"


class Loaded(NamedTuple):
    """The tasks of every split, in order, and what to tell the user."""

    tasks: Mapping[Split, Sequence[Task]]
    notes: tuple[str, ...]


class _Said(NamedTuple):
    """What a row says; a task is made of it if no row before it asks the same."""

    question: str
    answer: str
    solution: str | None
    split: Split | None
    metadata: Mapping[str, Any]


class _Item(NamedTuple):
    task: Task
    split: Split | None


class _Fields(NamedTuple):
    question: str
    answer: str


def load_file(
    path: Path, *, seed: int, question_field: str | None = None, answer_field: str | None = None
) -> Loaded:
    """Read a file; BadInput names the line, the field or the empty split."""
    rows = read_rows(path)
    there = list(dict.fromkeys(name for row in rows for name in row.fields))
    fields = _Fields(
        _field("question_field", question_field, QUESTION_FIELDS, there, path),
        _field("answer_field", answer_field, ANSWER_FIELDS, there, path),
    )
    said, notes = _merged([_said(path, row, fields) for row in rows])
    items = _items(said, path.stem)
    roots = clusters([item.task.question for item in items])
    if all(item.split is None for item in items):
        split, more = _by_content(items, roots, seed), _near_note(roots)
    elif all(item.split is not None for item in items):
        split, more = _by_column(items, roots)
    else:
        raise BadInput("task", str(path), "some rows have no split", remedy="give every row a split, or none")
    empty = [name.value for name in Split if not split[name]]
    if empty:
        raise BadInput(
            "task",
            str(path),
            f"no task falls to {', '.join(empty)} ({len(items)} distinct questions)",
            remedy="give more rows, or a column `split` with train, val and test",
        )
    return Loaded(split, (*notes, *more))


def _field(option: str, given: str | None, usual: Sequence[str], there: list[str], path: Path) -> str:
    by_lower = {name.casefold().strip(): name for name in reversed(there)}
    found = given if given in there else None
    if given is None:
        found = next((by_lower[name] for name in usual if name in by_lower), None)
    if found is None:
        problem = f"{path} has no such field" if given else f"none of {', '.join(usual)} is in {path}"
        raise BadInput(option, given, problem, remedy=f"fields there are: {', '.join(map(str, there))}")
    return found


def _said(path: Path, row: Row, fields: _Fields) -> _Said:
    question = _text(path, row, fields.question)
    answer = _text(path, row, fields.answer)
    rest = {key: value for key, value in row.fields.items() if key not in fields}
    solution = next((str(rest.pop(name)) for name in SOLUTION_FIELDS if rest.get(name)), None)
    if MARK in answer:
        solution, answer = answer, answer.rpartition(MARK)[2].strip()
    elif solution and MARK not in solution:
        solution = f"{solution.rstrip()}\n{MARK} {answer}"
    written = str(rest.pop(SPLIT_FIELD, None) or "").strip().casefold()
    if written and written not in SPLITS:
        refuse(path, row.line, f"split {written!r} is unknown", "write train, val or test")
    choices = next((rest.pop(name) for name in CHOICE_FIELDS if rest.get(name)), None)
    if choices is not None:
        rest["choices"] = _choices(path, row, choices)
    return _Said(question, answer, solution, SPLITS.get(written), rest)


def _items(said: Sequence[_Said], family: str) -> list[_Item]:
    return [
        _Item(
            Task.ask(one.question, one.answer, solution=one.solution, family=family, metadata=one.metadata),
            one.split,
        )
        for one in said
    ]


def _text(path: Path, row: Row, field: str) -> str:
    value = row.fields.get(field)
    if isinstance(value, bool) or (not isinstance(value, str | int | float)):
        refuse(path, row.line, f"{field} is {value!r:.40}, not a text or a number", "mend the row")
    text = str(value).strip()
    if not text:
        refuse(path, row.line, f"{field} is empty", "fill it in or drop the row")
    return text


def _choices(path: Path, row: Row, value: Any) -> Any:
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        found = [part.strip() for part in value.split("|")]
    if not isinstance(found, list | dict) or len(found) < 2:
        refuse(path, row.line, "choices is not a list of at least two", "write a list, or texts between |")
    return found


def _merged(rows: Sequence[_Said]) -> tuple[list[_Said], list[str]]:
    """Every question once: the first of each, in the order of the file."""
    first: dict[str, _Said] = {}
    again = contradicting = 0
    for said in rows:
        kept = first.setdefault(normal(said.question), said)
        again += kept is not said
        contradicting += kept is not said and normal(kept.answer) != normal(said.answer)
    notes = [f"{again} repeated questions were left out"] if again else []
    if contradicting:
        notes.append(f"{contradicting} of them had another answer than the first")
    return list(first.values()), notes


def _near_note(roots: list[int]) -> list[str]:
    near = len(roots) - len(set(roots))
    return [f"{near} near-duplicates were kept on the side of their twin"] if near else []


def _by_content(items: list[_Item], roots: list[int], seed: int) -> dict[Split, list[Task]]:
    names: dict[int, str] = {}
    for item, root in zip(items, roots, strict=True):
        names[root] = min(names.get(root, "\U0010ffff"), normal(item.task.question))
    places = {root: seed_for("split", seed, name) / 2**63 for root, name in names.items()}
    split: dict[Split, list[Task]] = {name: [] for name in Split}
    order = sorted(zip(items, roots, strict=True), key=lambda pair: (places[pair[1]], pair[0].task.key))
    for item, root in order:
        split[next(name for name, end in SHARES if places[root] < end)].append(item.task)
    return split


def _by_column(items: list[_Item], roots: list[int]) -> tuple[dict[Split, list[Task]], list[str]]:
    """As the column says, but a near-duplicate of a held-out task is left out of the splits before it."""
    rank = {Split.TRAIN: 0, Split.VAL: 1, Split.TEST: 2}
    highest: dict[int, Split] = {}
    for item, root in zip(items, roots, strict=True):
        assert item.split is not None
        highest[root] = max(highest.get(root, item.split), item.split, key=lambda name: rank[name])
    split: dict[Split, list[Task]] = {name: [] for name in Split}
    left: Counter[Split] = Counter()
    for item, root in zip(items, roots, strict=True):
        if item.split is highest[root]:
            split[highest[root]].append(item.task)
        elif item.split is not None:
            left[item.split] += 1
    return split, [
        f"{n} near-duplicates of held-out tasks were left out of {name}" for name, n in left.items()
    ]
