"""Replies of endpoints on disk, by the hash of what was asked: the same question is paid for once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from sharpen.core.artifact import write_atomic
from sharpen.core.attempt import Stop
from sharpen.core.dialogue import Call
from sharpen.core.records import Record, decode, encode
from sharpen.models.cache import cache_folder

Count = Annotated[int, Field(ge=0, le=2**40)]
"""Tokens, as an endpoint counts them."""


class Reply(Record):
    """One answer of an endpoint, as far as it is used."""

    text: str
    prompt_tokens: Count = 0
    tokens: Count = 0
    logprobs: tuple[float, ...] | None = None
    stop: Stop = Stop.END
    calls: tuple[Call, ...] = ()


class ReplyCache:
    """A folder of replies; files appear whole, and one that cannot be read counts as not there."""

    def __init__(self, folder: Path | None = None) -> None:
        """By default in the user's cache."""
        self._folder = folder or cache_folder() / "replies"

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.json"

    def get(self, key: str) -> Reply | None:
        """The reply to a question by its hash, if it is there."""
        try:
            return decode(Reply, self._path(key).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def put(self, key: str, reply: Reply) -> None:
        """Keep a reply."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, encode(reply))
