"""Rows of a user's JSONL or CSV file; anything malformed is refused with its line number."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from sharpen.core.errors import BadInput

LONGEST_LINE = 1_000_000
"""Bytes of the longest line that is read."""


class Row(NamedTuple):
    """One row and the number of its line."""

    line: int
    fields: Mapping[str, Any]


def read_rows(path: Path) -> list[Row]:
    """All rows; BadInput names file and line of whatever cannot be read."""
    if not path.is_file():
        raise BadInput("task", str(path), "there is no such file", remedy="check the path")
    rows = list(_csv(path) if path.suffix.lower() == ".csv" else _jsonl(path))
    if not rows:
        raise BadInput("task", str(path), "the file has no rows", remedy="one task per row")
    return rows


def refuse(path: Path, line: int, problem: str, remedy: str) -> NoReturn:
    """Raise BadInput for a line."""
    raise BadInput("task", f"{path}:{line}", problem, remedy=remedy)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with path.open("rb") as handle:
        number = 0
        while raw := handle.readline(LONGEST_LINE + 1):
            number += 1
            if len(raw) > LONGEST_LINE:
                refuse(path, number, f"the line is longer than {LONGEST_LINE:,} bytes", "shorten or drop it")
            try:
                yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                refuse(
                    path, number, f"is not UTF-8 (byte {error.start} of the line)", "save the file as UTF-8"
                )


def _jsonl(path: Path) -> Iterator[Row]:
    for number, text in _lines(path):
        if not text.strip():
            continue
        try:
            fields = _JSON.decode(text)
        except (ValueError, RecursionError) as error:
            refuse(path, number, f"is not JSON ({error})", "one JSON object per line")
        if not isinstance(fields, dict):
            refuse(path, number, "is not a JSON object", 'write {"question": ..., "answer": ...}')
        yield Row(number, fields)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_JSON = json.JSONDecoder(parse_constant=_no_constant)


def _csv(path: Path) -> Iterator[Row]:
    reader = csv.reader((text for _, text in _lines(path)), strict=True)
    header: list[str] = []
    try:
        for values in filter(None, reader):
            if not header:
                header = values
                continue
            if len(values) != len(header):
                problem = f"has not the {len(header)} columns of the header"
                refuse(path, reader.line_num, problem, "quote values that hold commas")
            yield Row(reader.line_num, dict(zip(header, values, strict=True)))
    except csv.Error as error:
        refuse(path, reader.line_num, str(error), "mend the row")
