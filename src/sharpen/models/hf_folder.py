"""Where a Hugging Face model comes from: a folder on disk or a hub id, safetensors only."""

from __future__ import annotations

import re
from pathlib import Path

from sharpen.core.artifact import hash_file
from sharpen.core.errors import BadInput, Unavailable
from sharpen.core.records import digest

HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
CONFIG = "config.json"
SETTINGS_FILES = (CONFIG, "generation_config.json", "tokenizer_config.json", "chat_template.jinja")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")


def open_folder_or_hub(name: str) -> Path:
    """The checked folder that `name` means: an existing folder, or a hub id, downloaded once.

    Raises BadInput for something that is neither, Unavailable when the hub cannot be reached.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        folder = _download(name)
    check_folder(folder)
    return folder


def check_folder(folder: Path) -> None:
    """BadInput if the folder lacks a configuration, a tokenizer or safetensors weights."""
    if not (folder / CONFIG).is_file():
        raise BadInput(
            "model",
            str(folder),
            f"the folder has no {CONFIG}",
            remedy="give the folder that `save_pretrained` wrote",
        )
    if not any(folder.glob("*.safetensors")):
        raise BadInput(
            "model",
            str(folder),
            "the folder has no safetensors weights; pickled ones are never read",
            remedy="convert them once with `save_pretrained(folder)` in a place you trust",
        )
    if not any((folder / file).is_file() for file in TOKENIZER_FILES):
        raise BadInput(
            "model",
            str(folder),
            "the folder has no tokenizer",
            remedy="save one beside the weights with `tokenizer.save_pretrained(folder)`",
        )


def _download(name: str) -> Path:
    if not HUB_ID.fullmatch(name):
        raise BadInput("model", name, "is neither a folder nor a hub id", remedy="check the path")
    import httpx2
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=HUB_FILES))
    except RepositoryNotFoundError as error:
        raise BadInput(
            "model",
            name,
            "there is no such folder, and the hub has no such model (or it is private)",
            remedy="check the name; for a private model log in with `hf auth login`",
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, httpx2.HTTPError, OSError) as error:
        raise Unavailable(
            f"model {name!r} is not a folder here, and the hub cannot be reached: {_one_line(error)}",
            remedy="check the network, or give the path of a downloaded folder",
        ) from error


def _one_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


class Fingerprint:
    """Hash of a folder's settings, weights and tokenizer; a file is hashed again only if it changed."""

    def __init__(self, folder: Path) -> None:
        """Nothing is read until `value` is asked for."""
        self.folder = folder
        self._hashes: dict[tuple[str, int, int], str] = {}

    @property
    def value(self) -> str:
        """64 hex digits."""
        files = [
            *SETTINGS_FILES,
            *TOKENIZER_FILES,
            *(path.name for path in self.folder.glob("*.safetensors")),
        ]
        present = sorted({file for file in files if (self.folder / file).is_file()})
        return digest([[file, self._hash(self.folder / file)] for file in present])

    def _hash(self, path: Path) -> str:
        status = path.stat()
        key = (path.name, status.st_size, status.st_mtime_ns)
        if key not in self._hashes:
            self._hashes[key] = hash_file(path)
        return self._hashes[key]
