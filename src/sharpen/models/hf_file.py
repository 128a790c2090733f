"""Safetensors files with a digest: one metadata entry, so that equal contents are equal bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from pydantic import JsonValue
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sharpen.core.artifact import cannot_write, replacing
from sharpen.core.errors import Damaged
from sharpen.core.records import canonical, decode

ENTRY = "sharpen"

Facts = dict[str, JsonValue]


class Contents(NamedTuple):
    """What a file holds."""

    facts: Facts
    tensors: dict[str, Tensor]


def save_tensors(target: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, JsonValue]) -> str:
    """Write tensors and facts so that a reader sees nothing or all of it; return their digest."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    digest = digest_of(plain, facts)
    entry = canonical({"facts": dict(facts), "digest": digest}).decode()
    with replacing(target) as temporary:
        try:
            save_file(plain, temporary, metadata={ENTRY: entry})
        except SafetensorError as error:
            raise cannot_write(target, str(error)) from error
    return digest


def read_facts(path: Path) -> tuple[Facts, str]:
    """The facts and the digest a file claims, without reading its tensors; Damaged if it is none of ours."""
    try:
        with safe_open(path, framework="pt") as file:
            entry = (file.metadata() or {})[ENTRY]
        record: dict[str, JsonValue] = decode(dict[str, JsonValue], entry.encode())
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise damaged(path) from error
    facts, digest = record.get("facts"), record.get("digest")
    if not isinstance(facts, dict) or not isinstance(digest, str):
        raise damaged(path)
    return facts, digest


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of a file, on the CPU; Damaged if it cannot be read."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise damaged(path) from error


def read_checked(path: Path) -> Contents:
    """Facts and tensors of a file after checking them against its digest; Damaged if they differ."""
    facts, digest = read_facts(path)
    tensors = read_tensors(path)
    if digest_of(tensors, facts) != digest:
        raise damaged(path)
    return Contents(facts, tensors)


def damaged(path: Path) -> Damaged:
    """The error for a file that is not what was written."""
    return Damaged(
        f"{path} is damaged or not a file of this program",
        remedy="delete it; what it held is computed again",
    )


def digest_of(tensors: Mapping[str, Tensor], facts: Mapping[str, JsonValue]) -> str:
    """SHA-256 of facts, names, shapes, types and values of contiguous CPU tensors."""
    total = hashlib.sha256(canonical(dict(facts)))
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
