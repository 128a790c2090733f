"""Keyed randomness: a seed is the hash of what it is for, never the state of a shared stream."""

from __future__ import annotations

import hashlib
import random

from sharpen.core.records import canonical


def seed_for(*parts: object) -> int:
    """63-bit seed for a purpose, e.g. `seed_for(run_seed, recipe, path, task_key, index, "sample")`."""
    return int.from_bytes(hashlib.blake2b(canonical(list(parts)), digest_size=8).digest()) >> 1


def random_for(*parts: object) -> random.Random:
    """A generator of its own for a purpose; every generator of one purpose draws the same numbers."""
    return random.Random(seed_for(*parts))
