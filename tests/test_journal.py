"""The journal finds every change of its content, and lets one process in at a time."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpen.core.errors import Busy, Damaged
from sharpen.core.journal import Entry, Journal, Wall, read_rows
from sharpen.core.records import canonical, decode, digest, encode

WALL = Wall(session="s", elapsed=1.0, seconds=1.0, model_seconds=0.5)


def fill(folder: Path, rows: int = 5) -> None:
    journal = Journal(folder)
    for number in range(rows):
        journal.append(Entry(key=f"step/{number}", verb="attempt", inputs="i", blob=f"b{number}"), WALL)
    journal.close()


def test_rows_come_back_in_order(tmp_path: Path) -> None:
    fill(tmp_path)
    assert [row.entry.key for row in read_rows(tmp_path)] == [f"step/{n}" for n in range(5)]


@settings(max_examples=40, deadline=None)
@given(row=st.integers(1, 5), column=st.sampled_from(["body", "hash", "key"]), place=st.integers(0, 200))
def test_any_changed_byte_is_found(
    tmp_path_factory: pytest.TempPathFactory, row: int, column: str, place: int
) -> None:
    folder = tmp_path_factory.mktemp("flip")
    fill(folder)
    database = sqlite3.connect(folder / "journal.sqlite")
    ((text,),) = database.execute(f"SELECT {column} FROM rows WHERE seq = ?", (row,)).fetchall()
    place %= len(text)
    changed = text[:place] + ("X" if text[place] != "X" else "Y") + text[place + 1 :]
    with database:
        database.execute(f"UPDATE rows SET {column} = ? WHERE seq = ?", (changed, row))
    database.close()
    with pytest.raises(Damaged):
        Journal(folder)


def test_a_removed_row_is_found(tmp_path: Path) -> None:
    fill(tmp_path)
    database = sqlite3.connect(tmp_path / "journal.sqlite")
    with database:
        database.execute("DELETE FROM rows WHERE seq = 3")
    database.close()
    with pytest.raises(Damaged):
        Journal(tmp_path)


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(Damaged):
        Journal(tmp_path)


def test_two_processes_cannot_hold_one_run(tmp_path: Path) -> None:
    fill(tmp_path)
    held = Journal(tmp_path)
    program = (
        "import sys; from pathlib import Path; from sharpen.core.journal import Journal\n"
        "from sharpen.core.errors import Busy\n"
        "try: Journal(Path(sys.argv[1]))\n"
        "except Busy as error: sys.exit(str(error))"
    )
    answer = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True)
    held.close()
    assert answer.returncode == 1 and "in use by process" in answer.stderr
    Journal(tmp_path).close()


def test_busy_is_the_users_to_mend() -> None:
    assert "->" in str(Busy("a", remedy="b"))


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**60), 2**60)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs"])),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
        ),
    )
)
def test_plain_values_survive_encoding(value: object) -> None:
    assert decode(object, encode(value)) == value
    assert digest(value) == digest(decode(object, canonical(value)))
