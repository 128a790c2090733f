"""The base of every stored record, and the one canonical way to turn a record into bytes."""

from __future__ import annotations

import hashlib
import json
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter

T = TypeVar("T")


class Record(BaseModel):
    """An immutable value that can be stored, hashed and read back without loss."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def to_plain(value: Any) -> Any:
    """Turn records, and containers of records, into plain JSON values."""
    return TypeAdapter(Any).dump_python(value, mode="json", serialize_as_any=True)


def canonical(value: Any) -> bytes:
    """Serialise a JSON-able value to its only spelling: sorted keys, no spaces, UTF-8.

    Raises ValueError for NaN and infinities, which have no JSON spelling.
    """
    return json.dumps(
        to_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode("utf-8", "surrogatepass")


def digest(value: Any) -> str:
    """Content hash of a JSON-able value, or of bytes as they stand: 64 hex digits of SHA-256."""
    data = value if isinstance(value, bytes) else canonical(value)
    return hashlib.sha256(data).hexdigest()


def decode(kind: type[T] | Any, data: bytes) -> T:
    """Read a value of type `kind` back from its canonical bytes."""
    result: T = TypeAdapter(kind).validate_json(data)
    return result
