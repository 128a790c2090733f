"""Artifacts: versioned, content-hashed files with lineage, in a store that never half-writes."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from pydantic import Field, JsonValue

from sharpen.core.errors import Damaged, SharpenError
from sharpen.core.records import Record, digest


class Kind(StrEnum):
    """What an artifact is."""

    WEIGHTS = "weights"
    ADAPTER = "adapter"
    REWARD_MODEL = "reward_model"
    PROMPT = "prompt"
    MEMORY = "memory"
    SKILLS = "skills"
    PROGRAM = "program"
    WORKFLOW = "workflow"
    WORLD_MODEL = "world_model"


class Artifact(Record):
    """A named set of stored files that improves or is used."""

    kind: Kind
    files: Mapping[str, str]
    """File name -> SHA-256 of its bytes in the store."""
    parents: tuple[str, ...] = ()
    """Versions of the policies or artifacts it was made from."""
    metadata: Mapping[str, JsonValue] = Field(default_factory=dict)

    @property
    def version(self) -> str:
        """Hash of kind and contents: equal contents are one version, whatever their lineage."""
        return digest([self.kind, dict(self.files)])[:16]


class ArtifactStore:
    """Files named by their hash under one folder; written to a temporary name, synced, renamed."""

    def __init__(self, folder: Path) -> None:
        """Open or create the store."""
        self.folder = folder
        self._checked: set[str] = set()
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def path(self, sha: str) -> Path:
        """Where the file with this hash lies, or would."""
        return self.folder / sha[:2] / sha

    def put(self, data: bytes) -> str:
        """Store bytes; return their hash."""
        sha = hashlib.sha256(data).hexdigest()
        target = self.path(sha)
        if not self.intact(sha):
            write_atomic(target, data)
        return sha

    def put_file(self, source: Path) -> str:
        """Store a file by moving it in; return its hash."""
        sha = hash_file(source)
        target = self.path(sha)
        with disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            _sync(source)
            os.replace(source, target)
            _sync(target.parent)
        return sha

    def get(self, sha: str) -> bytes:
        """Read a file and check it against its hash; Damaged if it is missing or differs."""
        data = self.path(sha).read_bytes() if self.path(sha).is_file() else None
        if data is None or hashlib.sha256(data).hexdigest() != sha:
            raise self._damaged(sha, "missing" if data is None else "changed")
        return data

    def checked_path(self, sha: str) -> Path:
        """Path of a large file after checking its hash (once), for readers that map it into memory."""
        path = self.path(sha)
        if not path.is_file() or (sha not in self._checked and hash_file(path) != sha):
            raise self._damaged(sha, "changed" if path.is_file() else "missing")
        self._checked.add(sha)
        return path

    def intact(self, sha: str) -> bool:
        """Whether the file is there and matches its hash."""
        return self.path(sha).is_file() and hash_file(self.path(sha)) == sha

    def _damaged(self, sha: str, what: str) -> Damaged:
        return Damaged(
            f"stored file {self.path(sha)} is {what}",
            remedy="`sharpen resume RUN --repair` computes it again",
        )


def hash_file(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_atomic(target: Path, data: bytes) -> None:
    """Write so that a reader sees the old file or the whole new one, also after a power loss."""
    with replacing(target) as temporary:
        temporary.write_bytes(data)


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A name to write to; the file is then synced and takes the place of `target`, or vanishes on an error.

    Raises SharpenError if the disk is full or fails.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            _sync(temporary)
            os.replace(temporary, target)
            _sync(target.parent)
        finally:
            temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class disk_errors:
    """Context that turns a full or failing disk into an error with a remedy."""

    def __init__(self, target: Path) -> None:
        """`target` is named in the error."""
        self.target = target

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise cannot_write(self.target, str(error.strerror)) from error
        if isinstance(error, OSError) and error.errno == errno.EIO:
            raise disk_failed(self.target, str(error.strerror)) from error


def cannot_write(target: Path, why: str) -> SharpenError:
    """The error for a disk without space."""
    return SharpenError(
        f"cannot write {target}: {why}",
        remedy="free disk space and run the same command again; nothing done is lost",
    )


def disk_failed(target: Path, why: str) -> SharpenError:
    """The error for a disk that fails, or says so when it is full."""
    return SharpenError(
        f"cannot read or write {target}: {why}",
        remedy="free disk space or mend the disk, and run the same command again; nothing done is lost",
    )
