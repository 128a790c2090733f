"""The base of every stored record, and how records become bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Self, TypeVar, overload

from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic_core import to_json, to_jsonable_python

T = TypeVar("T")


class Record(BaseModel):
    """An immutable value that can be stored, hashed and read back without loss."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A validated copy with some fields changed; cached values do not come along."""
        return type(self)(
            **{**{name: getattr(self, name) for name in type(self).model_fields}, **(update or {})}
        )


def encode(value: Any) -> bytes:
    """Serialise records, and containers of them, fast; fields stand in the order of declaration."""
    return to_json(value)


@overload
def decode(kind: type[T], data: bytes) -> T: ...
@overload
def decode(kind: Any, data: bytes) -> Any: ...
def decode(kind: Any, data: bytes) -> Any:
    """Read a value of type `kind` (any annotation) back from its bytes."""
    return _adapter(kind).validate_json(data)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    """Made once per kind: making one takes longer than reading a row."""
    return TypeAdapter(kind)


def canonical(value: Any) -> bytes:
    """Serialise a value to its only spelling, for identities: sorted keys, no spaces, UTF-8.

    Raises ValueError for NaN and infinities, which have no JSON spelling.
    """
    plain = to_jsonable_python(value)
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "surrogatepass")


def digest(value: Any) -> str:
    """Identity of a value by its canonical spelling, or of bytes as they stand: 64 hex digits."""
    return hash_bytes(value if isinstance(value, bytes) else canonical(value))


def hash_bytes(data: bytes) -> str:
    """SHA-256 in 64 hex digits."""
    return hashlib.sha256(data).hexdigest()
