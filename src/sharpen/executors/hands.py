"""Hands: processes elsewhere, each of which makes something large once and then works with it.

What a piece of work refers to by its hash, such as weights, goes once to every hand, and is checked there.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from filelock import FileLock, Timeout

from sharpen.core.ahead import Begun
from sharpen.core.artifact import ArtifactStore, hash_file
from sharpen.core.errors import Damaged, SharpenError

KEPT = 4
"""A hand keeps the files of so many of the latest sets that were asked for together."""
_PREFIX = "sharpen-hand-"

Worker = Callable[[Any], list[Any]]
"""Does a piece of work; its results."""
Make = Callable[..., Worker]
"""(store, arguments ...) -> a worker, on the hand; importable by name."""
Fetch = Callable[[Any, Path], None]
"""Writes what a parcel holds to a new file."""


class Hands(Protocol):
    """So many processes that do pieces of work."""

    @property
    def count(self) -> int:
        """How many there are."""

    def begin(self, work: object, files: Mapping[str, Path]) -> Begun[Any]:
        """Have one of them do a piece of work, with these files, by their hashes, in its store."""


class Refused(NamedTuple):
    """What a hand could not do, in a way that a person can mend."""

    problem: str
    remedy: str


class Hand:
    """What lives in a hand's process: a worker and the files that it works with."""

    def __init__(self, make: Make, arguments: tuple[object, ...], fetch: Fetch) -> None:
        """Make the worker; a SharpenError is told by `ready`."""
        self._files = Files(fetch)
        self._refused: Refused | None = None
        try:
            self._worker = make(self._files.store, *arguments)
        except SharpenError as error:
            self._refused = Refused(error.problem, error.remedy)

    def ready(self, files: Mapping[str, object]) -> Refused | None:
        """What is in the way of work, with these files as a trial."""
        return self._refused or _told(lambda: self._files.want(files))

    def do(self, work: object, files: Mapping[str, object]) -> list[Any] | Refused:
        """The results of a piece of work."""
        results: list[Any] = []

        def doing() -> None:
            self._files.want(files)
            results.extend(self._worker(work))

        return _told(doing) or results


class Files:
    """Files by their hashes in a folder of this process; those of processes that are gone are removed."""

    def __init__(self, fetch: Fetch) -> None:
        """`fetch` writes what a parcel holds to a file."""
        self._fetch = fetch
        _sweep()
        fresh = Path(tempfile.mkdtemp(prefix="sharpen-new-"))
        self._lock = FileLock(fresh / "lock")
        self._lock.acquire()
        # Only now, as another process may take it for one that is left behind.
        self.folder = fresh.replace(fresh.with_name(fresh.name.replace("sharpen-new-", _PREFIX)))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self.store = ArtifactStore(self.folder / "store")
        self._sets: OrderedDict[frozenset[str], None] = OrderedDict()

    def want(self, files: Mapping[str, object]) -> None:
        """Have these files in the store; Damaged if what came has another hash."""
        if not files:
            return
        for sha, parcel in files.items():
            if not self.store.path(sha).is_file():
                self._take(sha, parcel)
        self._sets[frozenset(files)] = None
        self._sets.move_to_end(frozenset(files))
        while len(self._sets) > KEPT:
            old, _ = self._sets.popitem(last=False)
            for sha in old.difference(*self._sets):
                self.store.path(sha).unlink(missing_ok=True)

    def _take(self, sha: str, parcel: object) -> None:
        came, target = self.folder / "came", self.store.path(sha)
        self._fetch(parcel, came)
        if (found := hash_file(came)) != sha:
            raise Damaged(
                f"a file came to another machine as {found[:12]}, and was to be {sha[:12]}",
                remedy="empty the shared folder, or take another, and run the same command again",
            )
        target.parent.mkdir(exist_ok=True)
        came.replace(target)


def _told(work: Callable[[], None]) -> Refused | None:
    try:
        work()
    except SharpenError as error:
        return Refused(error.problem, error.remedy)
    return None


def _sweep() -> None:
    """Remove folders whose processes were killed: nobody holds their locks any more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        # Another process may sweep at the same time.
        with suppress(FileNotFoundError, Timeout):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            with FileLock(folder / "lock", timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
