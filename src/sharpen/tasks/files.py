"""Task sets from a user's JSONL or CSV file: fields, duplicates and the split.

A question that occurs twice is kept once. Near-duplicates stay on one side of the split. A column `split`
(train, val, test) is respected; otherwise the content of a question decides where it goes, so that a file
that grows leaves its old tasks where they were: 60 % train, 15 % val, 25 % test. Questions about one picture
then stay together.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sharpen.core.dialogue import Picture
from sharpen.core.errors import BadInput
from sharpen.core.seeds import seed_for
from sharpen.core.task import Split, Task
from sharpen.tasks.duplicates import clusters, normal, told
from sharpen.tasks.rows import Row, read_rows, refuse
from sharpen.tasks.shown import pictures_named

QUESTION_FIELDS = ("question", "prompt", "problem", "input")
ANSWER_FIELDS = ("answer", "target", "label", "gold")
SOLUTION_FIELDS = ("solution", "rationale", "explanation")
PICTURE_FIELDS = ("image", "images", "picture", "pictures")
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
    items, notes = _merged(_items(path, rows, fields))
    roots = clusters([told(item.task) for item in items])
    if all(item.split is None for item in items):
        split, more = _by_content(items, _by_picture(items, roots), seed), _near_note(roots)
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
        raise BadInput(option, given, problem, remedy=_fields_there(there, path))
    return found


def _fields_there(there: Sequence[str], path: Path) -> str:
    """Which fields there are; one that looks like a whole header tells of another mark between columns."""
    marks = {";": "semicolons", "\t": "tabs", "|": "bars"} if path.suffix.lower() == ".csv" else {}
    mark = next((marks[mark] for mark in marks if len(there) == 1 and mark in there[0]), None)
    known = f"fields there are: {', '.join(map(str, there))}"
    return f"{known}; its columns seem to be parted by {mark}: save it with commas" if mark else known


def _items(path: Path, rows: Sequence[Row], fields: _Fields) -> list[_Item]:
    """The rows in order; equal rows are read once and share their item."""
    made: dict[str, _Item] = {}
    items = []
    for row in rows:
        said = repr(row.fields)
        if said not in made:
            made[said] = _item(path, row, fields)
        items.append(made[said])
    return items


def _item(path: Path, row: Row, fields: _Fields) -> _Item:
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
    pictures = _pictures(path, row, rest)
    task = Task.ask(question, answer, solution=solution, family=path.stem, metadata=rest, pictures=pictures)
    return _Item(task, SPLITS.get(written))


def _text(path: Path, row: Row, field: str) -> str:
    value = row.fields.get(field)
    if isinstance(value, bool) or (not isinstance(value, str | int | float)):
        refuse(path, row.line, f"{field} is {value!r:.40}, not a text or a number", "mend the row")
    text = str(value).strip()
    if not text:
        refuse(path, row.line, f"{field} is empty", "fill it in or drop the row")
    return text


def _pictures(path: Path, row: Row, rest: dict[str, Any]) -> tuple[Picture, ...]:
    """The pictures that the row names, taken out of `rest`."""
    named = [rest.pop(name) for name in PICTURE_FIELDS if rest.get(name)]
    try:
        return tuple(picture for value in named for picture in pictures_named(value, path.parent))
    except BadInput as error:
        refuse(path, row.line, error.problem, error.remedy)


def _choices(path: Path, row: Row, value: Any) -> Any:
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        found = [part.strip() for part in value.split("|")]
    if not isinstance(found, list | dict) or len(found) < 2:
        refuse(path, row.line, "choices is not a list of at least two", "write a list, or texts between |")
    return found


def _merged(items: list[_Item]) -> tuple[list[_Item], list[str]]:
    """Every question once: the first of each, in the order of the file."""
    first: dict[str, _Item] = {}
    contradicting = 0
    for item in items:
        kept = first.setdefault(normal(told(item.task)), item)
        contradicting += kept is not item and normal(kept.task.answer) != normal(item.task.answer)
    again = len(items) - len(first)
    notes = [f"{again} repeated questions were left out"] if again else []
    if contradicting:
        notes.append(f"{contradicting} of them had another answer than the first")
    return list(first.values()), notes


def _by_picture(items: list[_Item], roots: list[int]) -> list[int]:
    """The clusters, those about one picture as one."""
    firsts: dict[str, int] = {}
    whole = dict(zip(roots, roots, strict=True))
    for item, root in zip(items, roots, strict=True):
        for picture in item.task.pictures:
            one, other = whole[firsts.setdefault(picture.sha, root)], whole[root]
            if one != other:
                whole = {known: one if last == other else last for known, last in whole.items()}
    return [whole[root] for root in roots]


def _near_note(roots: list[int]) -> list[str]:
    near = len(roots) - len(set(roots))
    return [f"{near} near-duplicates were kept on the side of their twin"] if near else []


def _by_content(items: list[_Item], roots: list[int], seed: int) -> dict[Split, list[Task]]:
    names: dict[int, str] = {}
    for item, root in zip(items, roots, strict=True):
        names[root] = min(names.get(root, "\U0010ffff"), normal(told(item.task)))
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
