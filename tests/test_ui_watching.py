"""What is known of a run that is followed, row by row, is what is known of it when it is read in one go."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("fastapi", reason="the extra `ui` is not installed")

from helpers_ui import manifest
from sharpen.core.artifact import ArtifactStore
from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.budget import Purpose, Usage
from sharpen.core.gate import GateRule
from sharpen.core.journal import Entry, Journal, Wall
from sharpen.core.records import canonical, digest, encode
from sharpen.core.verdict import Scored
from sharpen.experiment.manifest import KEY
from sharpen.ui.desk import Opened, charts

VERSIONS = ("0" * 16, "1" * 16)


class Row(NamedTuple):
    """A row to be written."""

    key: str
    verb: str
    what: int
    """Which of the stored results of its verb it has."""
    tokens: int
    seconds: float
    purpose: Purpose


class Made:
    """Stored results by verb, in a store that all runs of these tests share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "store"
        store = ArtifactStore(self.folder)
        texts = [Turn(author=Author.POLICY, text=text, token_ids=(1,), logprobs=(-0.5,)) for text in "abc"]
        attempts = [Attempt(task="t" * 16, index=n, policy="p", turns=(t,)) for n, t in enumerate(texts)]
        gates = [
            GateRule().decide([0.0, 1.0] * 9, [1.0, float(won)] * 9, versions=order)
            for won, order in ((1, VERSIONS), (0, VERSIONS[::-1]))
        ]
        results = {
            "manifest": [manifest("toy")],
            "attempt": [attempts[:2], attempts[2:]],
            "judge": [[Scored(value=1.0), Scored(value=0.0)], [Scored(value=0.5)]],
            "gate": gates,
            "measure": [{"a": 0.5}, {"a": 1.5, "b": 2.0}],
            "warn": ["beware", "of that"],
            "search": ["s", "s"],
        }
        self.blobs = {verb: [store.put(encode(item)) for item in items] for verb, items in results.items()}
        self.blobs["warn"].append("f" * 64)  # nothing is stored there
        self.blobs["gate"].append(self.blobs["warn"][0])  # and this is no gate


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("made"))


NUMBERS = itertools.count()
"""For folders, one an example."""
ROUND, CHUNK = st.integers(0, 5), st.integers(0, 3)


def keys() -> st.SearchStrategy[tuple[str, str]]:
    """Keys of rows with their verbs, of few rounds, so that they meet."""
    chunks = [
        st.builds(lambda r, c, verb=verb: (f"round.{r}/{verb}/{c}", verb), ROUND, CHUNK)
        for verb in ("attempt", "judge")
    ]
    return st.one_of(
        *chunks,
        st.builds(lambda r: (f"round.{r}/gate", "gate"), ROUND),
        st.builds(lambda r, c: (f"round.{r}/measure~{c}", "measure"), ROUND, CHUNK),
        st.builds(lambda v, c: (f"evaluate/val/{v}/judge/{c}", "judge"), st.sampled_from(VERSIONS), CHUNK),
        st.builds(lambda n: (f"round.{n}/warn", "warn"), st.integers(0, 99)),
        st.builds(lambda n: (f"search/{n}", "search"), st.integers(0, 99)),
    )


ROWS = st.lists(
    st.builds(
        lambda where, *more: Row(*where, *more),
        keys(),
        st.integers(0, 2),
        st.integers(0, 1000),
        st.floats(0, 100),
        st.sampled_from(Purpose),
    ),
    max_size=30,
    unique_by=lambda row: row.key,
)


class Written:
    """A journal that is written row by row, or cut."""

    def __init__(self, folder: Path, made: Made) -> None:
        Journal(folder).close()
        (folder / "store").symlink_to(made.folder)
        self.folder, self._made = folder, made
        self._heads = [""]
        self._file = sqlite3.connect(folder / "journal.sqlite", isolation_level=None)
        self._file.execute("PRAGMA synchronous = OFF")
        self.write([Row(KEY, "manifest", 0, 0, 0.0, Purpose.EVALUATION)])

    def write(self, rows: Sequence[Row]) -> None:
        for row in rows:
            blobs = self._made.blobs[row.verb]
            usage = Usage(sampled_tokens=row.tokens)
            entry = Entry(
                key=row.key,
                verb=row.verb,
                inputs="",
                blob=blobs[row.what % len(blobs)],
                usage=usage,
                purpose=row.purpose,
            )
            body = canonical(entry).decode()
            self._heads.append(digest(self._heads[-1] + body))
            wall = Wall(session="s", elapsed=0.0, seconds=row.seconds, model_seconds=row.seconds / 3)
            told = (len(self._heads) - 1, row.key, body, self._heads[-1], canonical(wall).decode())
            self._file.execute("INSERT INTO rows (seq, key, body, hash, wall) VALUES (?, ?, ?, ?, ?)", told)

    def cut(self, left: int) -> None:
        """Leave so many rows, the manifest among them."""
        del self._heads[left + 1 :]
        self._file.execute("DELETE FROM rows WHERE seq > ?", (left,))

    def close(self) -> None:
        self._file.close()


@pytest.fixture(scope="module")
def few() -> Iterator[None]:
    """Limits so low that journals of a few rows come to them."""
    with ExitStack() as limits:
        for name, value in (("watching.SLICE", 4), ("watching.KEPT", 5), ("rounds.KEPT", 3)):
            limits.enter_context(patch(f"sharpen.ui.{name}", value))
        limits.enter_context(patch("sharpen.ui.rounds.MOST_CHUNKS", 2))
        yield


def known(run: Opened) -> tuple[bytes, bytes]:
    """All that a page is told of the rows, once its rounds are read."""
    run.settle(60)
    return encode(run.look()), encode(charts(run))


@settings(max_examples=120, deadline=None)
@given(ROWS, st.sets(st.integers(0, 30), max_size=6))
def test_followed_and_read_whole_are_equal(made: Made, few: None, rows: list[Row], cuts: set[int]) -> None:
    written = Written(made.folder.parent / str(next(NUMBERS)), made)
    with closing(written):
        followed, places = Opened(written.folder), sorted({0, len(rows), *cuts})
        for begin, end in itertools.pairwise(places):
            written.write(rows[begin:end])
            followed.settle(60)
        assert known(followed) == known(Opened(written.folder))


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(0, 29), ROWS)
def test_a_journal_that_was_cut_or_replaced_is_read_anew(
    made: Made, few: None, rows: list[Row], left: int, others: list[Row]
) -> None:
    written = Written(made.folder.parent / str(next(NUMBERS)), made)
    with closing(written):
        written.write(rows)
        followed = Opened(written.folder)
        followed.settle(60)
        written.cut(left + 1)
        there = {row.key for row in rows[:left]}
        written.write([row for row in others if row.key not in there])
        assert known(followed) == known(Opened(written.folder))
