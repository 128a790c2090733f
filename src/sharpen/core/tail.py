"""Reads a journal by row number, a slice at a time, while another process may be writing it.

Nothing stays open between two calls: a reader that held the file would keep the writer from folding its
write-ahead log back into the journal when it ends.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sharpen.core.budget import Purpose, Timing, Usage
from sharpen.core.errors import Damaged
from sharpen.core.journal import SEAL, Entry, Wall, is_made, read_row, sqlite_errors

_METERS = tuple(Usage.model_fields)
_USED = ", ".join(f"SUM(body ->> '$.usage.{meter}')" for meter in _METERS)
_TIMES = f"SUBSTR(wall, 1, INSTR(wall || '{SEAL}', '{SEAL}') - 1)"
"""Times without their seal."""
_SUMS = f"""SELECT body ->> '$.purpose' AS purpose, body ->> '$.verb' AS verb, COUNT(*),
    SUM(times ->> '$.seconds'), SUM(times ->> '$.model_seconds'),
    SUM(COALESCE(times ->> '$.dollars', 0.0)), SUM(JSON_TYPE(times, '$.dollars') = 'null'), {_USED}
    FROM (SELECT body, {_TIMES} AS times FROM rows WHERE seq > ? AND seq <= ?) GROUP BY purpose, verb"""


class Numbered(NamedTuple):
    """A row with its number; numbers begin at 1 and grow."""

    seq: int
    entry: Entry
    wall: Wall


class Mark(NamedTuple):
    """Where a row is and what it is about."""

    seq: int
    key: str
    verb: str
    blob: str


class Sum(NamedTuple):
    """What the rows of one verb on one account add up to."""

    purpose: Purpose
    verb: str
    rows: int
    usage: Usage
    timing: Timing


class Tail:
    """Reads one run's journal; every call sees what is on disk at that moment."""

    def __init__(self, folder: Path) -> None:
        """`folder` is a run's; nothing is opened yet."""
        self._path = folder / "journal.sqlite"

    def last(self) -> int:
        """Number of the last row; 0 if there is none."""
        return next((seq or 0 for (seq,) in self._all("SELECT MAX(seq) FROM rows")), 0)

    def get(self, key: str) -> Numbered | None:
        """The row of a step, if it is there."""
        found = self._rows("WHERE key = ?", key)
        return found[0] if found else None

    def named(self, keys: Sequence[str]) -> list[Numbered]:
        """Those of some steps that are there, in the order of the journal."""
        return self._rows(f"WHERE key IN ({', '.join('?' * len(keys))}) ORDER BY seq", *keys)

    def at(self, seq: int) -> Numbered | None:
        """The row of this number, if it is there."""
        found = self._rows("WHERE seq = ?", seq)
        return found[0] if found else None

    def before(self, seq: int, limit: int) -> list[Numbered]:
        """The `limit` rows before a number, the newest first."""
        return self._rows("WHERE seq < ? ORDER BY seq DESC LIMIT ?", seq, limit)

    def marks(self, after: int, upto: int, verbs: Sequence[str]) -> list[Mark]:
        """The rows of some verbs whose numbers are above `after` and not above `upto`, in order."""
        places = ", ".join("?" * len(verbs))
        found = self._all(
            "SELECT seq, key, body ->> '$.verb' AS verb, body ->> '$.blob' FROM rows"
            f" WHERE seq > ? AND seq <= ? AND verb IN ({places}) ORDER BY seq",
            after,
            upto,
            *verbs,
        )
        return [Mark(*row) for row in found]

    def sums(self, after: int, upto: int) -> list[Sum]:
        """What was used in the rows above `after` and not above `upto`."""
        found = self._all(_SUMS, after, upto)
        with self._readable():
            return [_sum(*columns) for columns in found]

    def _rows(self, where: str, *values: object) -> list[Numbered]:
        found = self._all(f"SELECT seq, body, wall, hash FROM rows {where}", *values)
        rows = [(seq, read_row(self._path, *columns)) for seq, *columns in found]
        return [Numbered(seq, row.entry, row.wall) for seq, row in rows]

    def _all(self, query: str, *values: object) -> list[Any]:
        """Rows of a query; none where there is no table."""
        if not self._path.is_file():
            raise Damaged(f"there is no journal {self._path}", remedy="`sharpen runs` lists the runs")
        address = f"{self._path.absolute().as_uri()}?mode=ro"
        with self._readable(), closing(sqlite3.connect(address, uri=True)) as file:
            return file.execute(query, values).fetchall() if is_made(file) else []

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            with sqlite_errors(self._path):
                yield
        except ValueError as error:
            raise Damaged(
                f"journal {self._path} cannot be read: {error}",
                remedy="restore it from a backup or start a new run in another --out",
            ) from error


def _sum(
    purpose: str,
    verb: str,
    rows: int,
    seconds: float,
    model: float,
    dollars: float,
    unpriced: int,
    *used: int,
) -> Sum:
    return Sum(
        Purpose(purpose),
        verb,
        rows,
        Usage(**dict(zip(_METERS, used, strict=True))),
        Timing(seconds=seconds, model_seconds=model, dollars=None if unpriced else dollars),
    )
