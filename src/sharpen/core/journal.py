"""The append-only truth of a run: one SQLite row per finished piece of work, chained by hash.

The hash of a row covers its whole body and the hash before it; only `wall` (times) stands outside and has a
seal of its own. Two runs that did the same work have equal bodies and hashes, byte for byte.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO, NamedTuple

from pydantic import ValidationError

from sharpen.core.artifact import cannot_write, disk_errors, disk_failed
from sharpen.core.budget import Purpose, Timing, Usage
from sharpen.core.errors import Busy, Damaged, SharpenError
from sharpen.core.records import Record, canonical, decode

_SCHEMA = """CREATE TABLE IF NOT EXISTS rows (
    seq INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, body TEXT NOT NULL, hash TEXT NOT NULL,
    wall TEXT NOT NULL)"""

_CODE = re.compile(r"error code=(\d{1,9})")

SEAL = "#"
"""Stands between times and their seal; journals of before there were seals have neither."""


class Entry(Record):
    """The body of a row: what was done, from what, with what result, at what cost."""

    key: str
    """Path of the step, unique in the run."""
    verb: str
    inputs: str
    """Hash of everything the result depends on."""
    blob: str
    """Hash of the stored result."""
    files: tuple[str, ...] = ()
    """Hashes of further stored files that the result refers to."""
    usage: Usage = Usage()
    purpose: Purpose = Purpose.METHOD


class Wall(Record):
    """Times of a row: seconds of work, of which in the model, and since its process began; and its price."""

    session: str
    elapsed: float
    seconds: float
    model_seconds: float
    dollars: float | None = 0.0
    """None if it is not known."""

    @property
    def timing(self) -> Timing:
        """What the row took."""
        return Timing(seconds=self.seconds, model_seconds=self.model_seconds, dollars=self.dollars)


class Row(NamedTuple):
    """A row as read back."""

    entry: Entry
    wall: Wall
    hash: str


class Journal:
    """Reads and appends rows of one run folder; only one process can hold it."""

    def __init__(self, folder: Path) -> None:
        """Open or create `folder`/journal.sqlite and verify its hash chain."""
        self._path = folder / "journal.sqlite"
        with disk_errors(folder), ExitStack() as opened:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = opened.enter_context(_lock(folder / "lock"))
            self._database = opened.enter_context(closing(_connect(self._path)))
            self._head = _verify(self._path, self._database)
            opened.pop_all()

    @property
    def head(self) -> str:
        """Hash of the last row: it stands for the whole history."""
        return self._head

    def get(self, key: str) -> Row | None:
        """The row of a step, if the step is finished."""
        with sqlite_errors(self._path):
            [*found] = self._database.execute("SELECT body, wall, hash FROM rows WHERE key = ?", (key,))
        return read_row(self._path, *found[0]) if found else None

    def append(self, entry: Entry, wall: Wall) -> None:
        """Add a finished step; it is on disk when this returns."""
        body = canonical(entry).decode()
        chained = _chain(self._head, body)
        with sqlite_errors(self._path), self._database:
            self._database.execute(
                "INSERT INTO rows (key, body, hash, wall) VALUES (?, ?, ?, ?)",
                (entry.key, body, chained, _sealed(wall, chained)),
            )
        self._head = chained

    def __iter__(self) -> Iterator[Row]:
        with sqlite_errors(self._path):
            for found in self._database.execute("SELECT body, wall, hash FROM rows ORDER BY seq"):
                yield read_row(self._path, *found)

    def close(self) -> None:
        """Close the file and let other processes in."""
        self._database.close()
        self._lock.close()


def read_rows(folder: Path) -> Iterator[Row]:
    """Read a run's rows without taking its lock, also while it is running."""
    path = folder / "journal.sqlite"
    if not path.is_file():
        raise Damaged(f"there is no run in {folder}", remedy="`sharpen runs` lists the runs")
    with sqlite_errors(path), closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        if is_made(database):
            for found in database.execute("SELECT body, wall, hash FROM rows ORDER BY seq"):
                yield read_row(path, *found)


def is_made(database: sqlite3.Connection) -> bool:
    """Whether the table is there; a process that ended while it made the file has left one without it."""
    try:
        return database.execute("SELECT 1 FROM sqlite_master WHERE name = 'rows'").fetchone() is not None
    except sqlite3.OperationalError as error:
        # Readers cannot roll back; but what has to be is older than the write-ahead log, and so than rows.
        if error.sqlite_errorcode == sqlite3.SQLITE_READONLY_ROLLBACK:
            return False
        raise


def head_of(folder: Path) -> str:
    """Hash of the last row of a run that another process may hold; empty for an empty journal."""
    *_, last = (None, *read_rows(folder))
    return last.hash if last else ""


def read_row(path: Path, body: object, wall: object, chained: object) -> Row:
    """A row from its columns, with its times held against their seal; Damaged if anything is wrong.

    Damage can turn any column into any type of SQLite's.
    """
    times, mark, seal = str(wall).partition(SEAL)
    try:
        row = Row(decode(Entry, str(body).encode()), decode(Wall, times.encode()), str(chained))
    except (ValidationError, UnicodeEncodeError):
        raise _damaged(path, f"the row with hash {str(chained)[:12]} cannot be read") from None
    if mark and seal != _seal(times, row.hash):
        raise _damaged(path, f"the times of the row with hash {row.hash[:12]} were changed")
    return row


def _sealed(wall: Wall, chained: str) -> str:
    times = canonical(wall).decode()
    return f"{times}{SEAL}{_seal(times, chained)}"


def _seal(times: str, chained: str) -> str:
    return hashlib.sha256(f"{chained}\n{times}".encode()).hexdigest()[:16]


def _chain(previous: str, body: str) -> str:
    return hashlib.sha256(f"{previous}\n{body}".encode()).hexdigest()


def _lock(path: Path) -> IO[bytes]:
    # Without a buffer, which on a full disk would fail once more when it is closed.
    handle = path.open("a+b", buffering=0)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.seek(0)
        owner = handle.read().decode().strip() or "unknown"
        handle.close()
        raise Busy(
            f"run {path.parent} is in use by process {owner}",
            remedy="wait for it, stop it, or use another --out",
        ) from None
    handle.truncate(0)
    handle.write(str(os.getpid()).encode())
    return handle


def _connect(path: Path) -> sqlite3.Connection:
    with sqlite_errors(path), ExitStack() as opened:
        database = opened.enter_context(closing(sqlite3.connect(path, check_same_thread=False)))
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute(_SCHEMA)
        opened.pop_all()
        return database


def _verify(path: Path, database: sqlite3.Connection) -> str:
    """Hash of the last row, after checking every row and that the index of keys finds every one."""
    head = ""
    with sqlite_errors(path):
        [(found,)] = database.execute("PRAGMA integrity_check(1)")
        if found != "ok":
            raise _unsound(path, " ".join(str(found).split()))
        for seq, key, body, chained, wall in database.execute(
            "SELECT seq, key, body, hash, wall FROM rows ORDER BY seq"
        ):
            head = _chain(head, body)
            if head != chained or read_row(path, body, wall, chained).entry.key != key:
                raise _damaged(path, f"row {seq} does not match its hash")
    return head


def _unsound(path: Path, found: str) -> SharpenError:
    """What SQLite's own check found: also pages that it could not read, by the code of the error."""
    code = _CODE.search(found)
    failed = code is not None and int(code[1]) & 0xFF == sqlite3.SQLITE_IOERR
    return disk_failed(path, found) if failed else _damaged(path, found)


def _damaged(path: Path, what: str) -> Damaged:
    return Damaged(
        f"journal {path} is damaged: {what}",
        remedy="restore it from a backup or start a new run in another --out",
    )


class sqlite_errors:
    """Context that turns SQLite's errors into ours."""

    def __init__(self, path: Path) -> None:
        """`path` is named in the error."""
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            raise cannot_write(self.path, str(error)) from error
        if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
            raise disk_failed(self.path, str(error)) from error
        if isinstance(error, sqlite3.DatabaseError):
            raise _damaged(self.path, str(error)) from error
