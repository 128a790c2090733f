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
_BILLION = 10**9


def _billionths(field: str) -> str:
    return f"SUM(CAST(ROUND(COALESCE(times ->> '$.{field}', 0.0) * {_BILLION}) AS INTEGER))"


_SUMS = f"""SELECT body ->> '$.purpose' AS purpose, body ->> '$.verb' AS verb, COUNT(*),
    {_billionths("seconds")}, {_billionths("model_seconds")}, {_billionths("dollars")},
    SUM(JSON_TYPE(times, '$.dollars') = 'null'), {_USED}
    FROM (SELECT body, {_TIMES} AS times FROM rows WHERE seq > ? AND seq <= ?) GROUP BY purpose, verb"""

_LAST = "SELECT MAX(seq) FROM rows"
_HEAD = "SELECT hash FROM rows WHERE seq = ?"


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
    """What the rows of one verb on one account add up to.

    Time and money are whole numbers of billionths, so that the sums of slices make the sum to the last bit.
    """

    purpose: Purpose
    verb: str
    rows: int
    usage: Usage
    seconds: int
    model_seconds: int
    dollars: int | None
    """None if something was paid for at a price that nobody gave."""

    @property
    def timing(self) -> Timing:
        """Time and money, in seconds and dollars."""
        return Timing(
            seconds=self.seconds / _BILLION,
            model_seconds=self.model_seconds / _BILLION,
            dollars=None if self.dollars is None else self.dollars / _BILLION,
        )

    def plus(self, other: Sum) -> Sum:
        """With more rows of the same verb on the same account."""
        known = self.dollars is not None and other.dollars is not None
        return self._replace(
            rows=self.rows + other.rows,
            usage=self.usage + other.usage,
            seconds=self.seconds + other.seconds,
            model_seconds=self.model_seconds + other.model_seconds,
            dollars=(self.dollars or 0) + (other.dollars or 0) if known else None,
        )


class News(NamedTuple):
    """What stands in a journal after some row, up to another."""

    last: int
    """Number of the last row of the journal."""
    upto: int
    """Number of the last row that is told of here."""
    head: str
    """Hash of that row: it stands for all that came before it, too."""
    sums: list[Sum]
    marks: list[Mark]


class Tail:
    """Reads one run's journal; every call sees what is on disk at that moment."""

    def __init__(self, folder: Path) -> None:
        """`folder` is a run's; nothing is opened yet."""
        self._path = folder / "journal.sqlite"

    def last(self) -> int:
        """Number of the last row; 0 if there is none."""
        return next((seq or 0 for (seq,) in self._all(_LAST)), 0)

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

    def news(self, after: int, head: str, verbs: Sequence[str], limit: int) -> News | None:
        """What the next `limit` rows after the row `after` add up to, and which of them are of some verbs.

        None if that row is gone or has another hash than `head`: another journal has taken the place of the
        one that was read, or it was cut. `after` 0 is the beginning of any journal.
        """
        with self._opened() as file:
            if file is None:
                return None if after else News(0, 0, "", [], [])
            file.execute("BEGIN")  # one state of the journal, however it grows meanwhile
            if after and file.execute(_HEAD, (after,)).fetchone() != (head,):
                return None
            [(last,)] = file.execute(_LAST)
            if (last or 0) <= after:
                return News(after, after, head, [], [])
            [(upto,)] = file.execute(
                "SELECT MAX(seq) FROM (SELECT seq FROM rows WHERE seq > ? ORDER BY seq LIMIT ?)",
                (after, limit),
            )
            [(head,)] = file.execute(_HEAD, (upto,))
            return News(last, upto, head, _sums(file, after, upto), _marks(file, after, upto, verbs))

    def sums(self, after: int, upto: int) -> list[Sum]:
        """What was used in the rows above `after` and not above `upto`."""
        with self._opened() as file:
            return [] if file is None else _sums(file, after, upto)

    def _rows(self, where: str, *values: object) -> list[Numbered]:
        found = self._all(f"SELECT seq, body, wall, hash FROM rows {where}", *values)
        rows = [(seq, read_row(self._path, *columns)) for seq, *columns in found]
        return [Numbered(seq, row.entry, row.wall) for seq, row in rows]

    def _all(self, query: str, *values: object) -> list[Any]:
        """Rows of a query; none where there is no table."""
        with self._opened() as file:
            return [] if file is None else file.execute(query, values).fetchall()

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection | None]:
        """The journal, for reading; None where there is no table. What it makes no sense of is Damaged."""
        if not self._path.is_file():
            raise Damaged(f"there is no journal {self._path}", remedy="`sharpen runs` lists the runs")
        address = f"{self._path.absolute().as_uri()}?mode=ro"
        try:
            with sqlite_errors(self._path), closing(sqlite3.connect(address, uri=True)) as file:
                yield file if is_made(file) else None
        except ValueError as error:
            raise Damaged(
                f"journal {self._path} cannot be read: {error}",
                remedy="restore it from a backup or start a new run in another --out",
            ) from error


def _sums(file: sqlite3.Connection, after: int, upto: int) -> list[Sum]:
    return [_sum(*columns) for columns in file.execute(_SUMS, (after, upto))]


def _marks(file: sqlite3.Connection, after: int, upto: int, verbs: Sequence[str]) -> list[Mark]:
    """The rows of some verbs, in order."""
    places = ", ".join("?" * len(verbs))
    found = file.execute(
        "SELECT seq, key, body ->> '$.verb' AS verb, body ->> '$.blob' FROM rows"
        f" WHERE seq > ? AND seq <= ? AND verb IN ({places}) ORDER BY seq",
        (after, upto, *verbs),
    )
    return [Mark(*row) for row in found]


def _sum(
    purpose: str,
    verb: str,
    rows: int,
    seconds: int,
    model: int,
    dollars: int,
    unpriced: int,
    *used: int,
) -> Sum:
    return Sum(
        Purpose(purpose),
        verb,
        rows,
        Usage(**dict(zip(_METERS, used, strict=True))),
        seconds,
        model,
        None if unpriced else dollars,
    )
