"""The temporary folder of a foreign program: filled, measured, read back and removed with distrust."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from sharpen.core.artifact import disk_errors
from sharpen.core.errors import BadInput

_LONGEST_PATH = 1024


@contextmanager
def folder_with(files: Mapping[str, bytes], beneath: Path | None = None) -> Iterator[Path]:
    """A new folder with these files, `beneath` another one or the system's temporary folder.

    It and all that was added is removed at the end.
    """
    for name in files:
        checked_name(name)
    folder = Path(tempfile.mkdtemp(prefix="sharpen-", dir=beneath)).resolve()
    try:
        with disk_errors(folder):
            for name, data in files.items():
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
        yield folder
    finally:
        _remove(folder)


def checked_name(name: str) -> str:
    """The name, if it is that of a file inside the folder; BadInput otherwise."""
    path = PurePosixPath(name)
    plain = name == str(path) and not path.is_absolute() and name != "." and "\0" not in name
    if not plain or ".." in path.parts or max(map(len, os.fsencode(name).split(b"/"))) > 255:
        raise BadInput("file name", name, "does not name a file inside a folder", remedy="e.g. lib/tool.py")
    return name


def read_kept(folder: Path, names: Sequence[str], limit: int) -> dict[str, bytes]:
    """Of these files those that are there and regular, at most `limit` bytes each; no link is followed."""
    found = {checked_name(name): _read(folder, PurePosixPath(name).parts, limit) for name in names}
    return {name: data for name, data in found.items() if data is not None}


def _read(folder: Path, parts: tuple[str, ...], limit: int) -> bytes | None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    handles = [os.open(folder, flags)]
    try:
        for part in parts:
            handles.append(os.open(part, flags, dir_fd=handles[-1]))
        if not stat.S_ISREG(os.fstat(handles[-1]).st_mode):
            return None
        with open(handles[-1], "rb", closefd=False) as source:
            return source.read(limit)
    except OSError:
        return None
    finally:
        for handle in handles:
            os.close(handle)


def size(folder: Path, most_entries: int) -> tuple[int, int]:
    """Entries and bytes beneath the folder; counting ends soon after `most_entries`, or far down."""
    entries, total, open_folders = 0, 0, [os.fspath(folder)]
    while open_folders and entries <= most_entries:
        try:
            with os.scandir(open_folders.pop()) as listed:
                for entry in listed:
                    entries += 1
                    if entry.is_dir(follow_symlinks=False):
                        open_folders.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if len(entry.path) > _LONGEST_PATH:
                        return most_entries + 1, total
                    if entries > most_entries:
                        break
        except FileNotFoundError:
            continue
        except OSError:
            # Closed to us: nothing a program needs.
            return most_entries + 1, total
    return entries, total


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except (OSError, RecursionError):
        # Folders nested deeper than Python goes, or closed to their owner.
        subprocess.run(["chmod", "-R", "u+rwX", folder], check=False, stderr=subprocess.DEVNULL)
        subprocess.run(["rm", "-rf", "--", folder], check=True)
