"""A folder that all machines reach, as fsspec names it: s3://bucket/place, or one of a shared file system.

Files lie in it by their hashes, so several runs may use one folder, and a file is written once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sharpen.core.errors import BadInput, Unavailable


class SharedFolder:
    """One end of such a folder."""

    def __init__(self, url: str) -> None:
        """BadInput for an address that cannot be opened."""
        self.url = url
        try:
            from fsspec.core import url_to_fs

            self._fs, self._root = url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise BadInput(
                "shared",
                url,
                _said(error),
                remedy="give a folder or a URL of fsspec, and install its package",
            ) from error

    def offer(self, sha: str, path: Path) -> None:
        """Have a file in the folder; Unavailable if it cannot be written there."""
        target = self._target(sha)
        try:
            # Half a file, from a copy that was cut off, has another size.
            if not self._fs.exists(target) or self._fs.size(target) != path.stat().st_size:
                self._fs.makedirs(self._root, exist_ok=True)
                self._fs.put_file(str(path), target)
        except OSError as error:
            raise self._failed("written to", error) from error

    def fetch(self, sha: str, path: Path) -> None:
        """Copy a file out of the folder; Unavailable if it cannot be read there."""
        try:
            self._fs.get_file(self._target(sha), str(path))
        except OSError as error:
            raise self._failed("read", error) from error

    def _target(self, sha: str) -> Any:
        return f"{self._root}/{sha}"

    def _failed(self, what: str, error: OSError) -> Unavailable:
        return Unavailable(
            f"the shared folder {self.url} cannot be {what}: {_said(error)}",
            remedy="give one that every machine of the cluster can read, and this one can write",
        )


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
