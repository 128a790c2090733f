"""Reading a journal by row number agrees with reading it whole; verdicts are told to the right attempts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers_run import START, engine, loop, task, task_set
from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.budget import Purpose, Timing, Usage
from sharpen.core.engine import Done, Engine
from sharpen.core.errors import Damaged
from sharpen.core.journal import Journal, read_rows
from sharpen.core.run import Run
from sharpen.core.tail import Tail
from sharpen.core.verdict import Scored, Verdict
from sharpen.ui.pairing import Pairing


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "toy"
    made = engine(folder)
    loop(Run(made), task_set(), START)
    made.journal.close()
    return folder


def test_agrees_with_the_whole(run: Path) -> None:
    rows, tail = list(read_rows(run)), Tail(run)
    assert tail.last() == len(rows)
    assert [row.entry for row in tail.before(2**62, len(rows))] == [row.entry for row in reversed(rows)]
    assert [row.entry for row in tail.named([row.entry.key for row in rows])] == [row.entry for row in rows]
    for seq, row in enumerate(rows, 1):
        assert tail.at(seq) == (seq, row.entry, row.wall) == tail.get(row.entry.key)
    assert tail.get("nothing") is None
    gates = [(seq, row.entry.key) for seq, row in enumerate(rows, 1) if row.entry.verb == "gate"]
    news = tail.news(0, "", ("gate",), len(rows))
    assert news is not None and [mark[:2] for mark in news.marks] == gates
    assert news[:3] == (len(rows), len(rows), rows[-1].hash)
    assert tail.news(len(rows), rows[-1].hash, (), 1) == (*news[:3], [], [])
    assert tail.news(len(rows), rows[0].hash, (), 1) is tail.news(len(rows) + 1, "", (), 1) is None


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 60), max_size=4))
def test_sums_of_slices_are_the_sum(run: Path, cuts: list[int]) -> None:
    rows, tail = list(read_rows(run)), Tail(run)
    places = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    total = dict.fromkeys(Purpose, Usage())
    timing, counted = Timing(), 0
    for after, upto in pairwise(places):
        for item in tail.sums(after, upto):
            total[item.purpose] = total[item.purpose] + item.usage
            timing = timing + item.timing
            counted += item.rows
    wanted = dict.fromkeys(Purpose, Usage())
    for row in rows:
        wanted[row.entry.purpose] = wanted[row.entry.purpose] + row.entry.usage
    assert (total, counted) == (wanted, len(rows))
    assert timing.seconds == pytest.approx(sum(row.wall.seconds for row in rows))
    assert timing.dollars == pytest.approx(sum(row.wall.dollars or 0.0 for row in rows))


def test_what_is_not_there_and_what_is_damaged(tmp_path: Path) -> None:
    Journal(tmp_path / "new").close()
    assert Tail(tmp_path / "new").last() == 0
    assert Tail(tmp_path / "new").before(5, 5) == []
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "journal.sqlite").write_bytes(b"no database" * 100)
    for folder in ("bad", "missing"):
        with pytest.raises(Damaged):
            Tail(tmp_path / folder).last()


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 14), st.integers(1, 5), st.integers(1, 5), st.booleans())
def test_verdicts_find_their_attempts(many: int, own: int, judged: int, all_judged: bool) -> None:
    """Attempt n is worth n: whatever the sizes of chunks, each is told its own verdict or none."""
    with TemporaryDirectory() as place:
        made = engine(Path(place) / "run")
        items = [
            Attempt(task=task(n).key, index=0, policy="p", turns=(Turn(author=Author.POLICY, text=str(n)),))
            for n in range(many)
        ]
        verdicts: list[Verdict] = [Scored(value=n) for n in range(many if all_judged else many - 1)]
        _chunked(made, "round.1/attempt", "attempt", items, own)
        _chunked(made, "round.1/judge", "judge", verdicts, judged)
        made.journal.close()
        tail = Tail(Path(place) / "run")
        pairing = Pairing(tail, made.store)
        found = [
            (attempt.response, verdict)
            for row in reversed(tail.before(2**62, 999))
            if row.entry.verb == "attempt"
            for attempt, verdict in zip(pairing.attempts(row.entry), pairing.verdicts(row.entry), strict=True)
        ]
    assert found == [(str(n), Scored(value=n) if all_judged else None) for n in range(many)]


def _chunked(made: Engine, step: str, verb: str, items: Sequence[object], size: int) -> None:
    for number, start in enumerate(range(0, len(items), size)):
        part = tuple(items[start : start + size])
        made.step(f"{step}/{number}", verb, number, None, Purpose.METHOD, lambda part=part: Done(part))
