"""Safetensors files with a digest: one metadata entry, so that equal contents are equal bytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from pydantic import JsonValue
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sharpen.core.artifact import disk_errors
from sharpen.core.errors import Damaged, SharpenError
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
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with disk_errors(target):
        _save(temporary, plain, entry)
        _sync(temporary)
        os.replace(temporary, target)
        _sync(target.parent)
    return digest


def _save(path: Path, tensors: dict[str, Tensor], entry: str) -> None:
    try:
        save_file(tensors, path, metadata={ENTRY: entry})
    except SafetensorError as error:
        raise SharpenError(
            f"cannot write {path.parent}: {error}",
            remedy="free disk space and run the same command again; nothing done is lost",
        ) from error


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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
