"""Every call of SQLite to the disk is made to fail, in turn: one clear error, nothing lost, nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from failing_disk import failing_disk
from sharpen.core.errors import Damaged, SharpenError
from sharpen.core.journal import Entry, Journal, Wall, read_rows
from sharpen.core.tail import Tail

WALL = Wall(session="a", elapsed=1.0, seconds=0.5, model_seconds=0.25)
ENTRIES = [Entry(key=f"step.{n}", verb="judge", inputs=f"{n:064}", blob="1" * 64) for n in range(4)]


class Failing:
    """The n-th call fails; with `stays` all after it, too."""

    def __init__(self, place: int, *, stays: bool = False) -> None:
        self.calls, self.place, self.stays = 0, place, stays

    def __call__(self) -> bool:
        self.calls += 1
        return self.calls == self.place or (self.stays and self.calls > self.place)


def write(folder: Path) -> None:
    """What is missing of the entries."""
    journal = Journal(folder)
    try:
        for entry in ENTRIES:
            if journal.get(entry.key) is None:
                journal.append(entry, WALL)
    finally:
        journal.close()


def kept(folder: Path) -> list[tuple[Entry, str]]:
    return [(row.entry, row.hash) for row in read_rows(folder)]


def calls_of(act: Callable[[], object]) -> int:
    with failing_disk(counting := Failing(0)):
        act()
    return counting.calls


def refused(act: Callable[[], object], failing: Failing) -> bool:
    """Whether it ends in an error, which must be the right one, in one line."""
    with failing_disk(failing):
        try:
            act()
        except SharpenError as error:
            assert not isinstance(error, Damaged), error
            assert "disk" in error.remedy and "\n" not in str(error), error
            return True
    return False


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calm")
    write(folder)
    return folder


@pytest.mark.parametrize("stays", [False, True])
def test_a_failing_write_loses_nothing(calm: Path, tmp_path: Path, stays: bool) -> None:
    total = calls_of(lambda: write(tmp_path / "counted"))
    errors = 0
    for place in range(1, total + 1):
        folder = tmp_path / str(place)
        errors += refused(lambda folder=folder: write(folder), Failing(place, stays=stays))  # type: ignore[misc]
        if (folder / "journal.sqlite").is_file():
            there = kept(folder)
            assert there == kept(calm)[: len(there)]
        write(folder)
        assert kept(folder) == kept(calm)
    assert errors > total / 2


@pytest.mark.parametrize("begin", [lambda folder: write(folder), lambda folder: kept(folder)])
def test_a_failing_read_hides_nothing(calm: Path, begin: Callable[[Path], object]) -> None:
    """A row that cannot be read is never taken for one that is not there."""
    before = kept(calm)
    for place in range(1, calls_of(lambda: begin(calm)) + 1):
        seen: list[object] = []
        if not refused(lambda seen=seen: seen.append(begin(calm)), Failing(place)):  # type: ignore[misc]
            assert seen in ([None], [before])
        assert kept(calm) == before


def test_a_reader_of_a_failing_disk_says_so(calm: Path) -> None:
    seen: list[int] = []

    def look() -> int:
        return Tail(calm).last()

    places = range(1, calls_of(look) + 1)
    refusals = [refused(lambda: seen.append(look()), Failing(place)) for place in places]
    assert any(refusals) and set(seen) <= {len(ENTRIES)}
