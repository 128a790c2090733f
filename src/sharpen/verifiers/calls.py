"""What crosses to a worker process: which function of which file, and one response. Runs on either side."""

from __future__ import annotations

import importlib
import math
import numbers
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from types import ModuleType
from typing import Any, NamedTuple

from pydantic import JsonValue

from sharpen.core import plugins
from sharpen.core.attempt import Attempt
from sharpen.core.task import Task
from sharpen.core.verdict import Error, Rejected, Scored, Verdict
from sharpen.verifiers.base import Case


class Source(NamedTuple):
    """A verifier's code: an importable module, or a file of the user's, and the function in it."""

    module: str
    function: str
    options: tuple[tuple[str, JsonValue], ...]
    version: str
    """Hash of the file, so that a changed file is loaded again."""


class Judgement(NamedTuple):
    """One response, or attempt with its files, to judge."""

    source: Source
    arguments: tuple[str, Task] | tuple[Attempt, Task, Mapping[str, bytes]]


class Extraction(NamedTuple):
    """One response to find the answer in."""

    source: Source
    response: str


class Description(NamedTuple):
    """What a user's file holds."""

    has_function: bool
    has_extract: bool
    cases: tuple[Case, ...]


@lru_cache(maxsize=32)
def _judging(source: Source) -> Callable[..., Any]:
    """The verifier's function with its options."""
    function: Callable[..., Any] = getattr(module_of(source), source.function)
    return partial(function, **dict(source.options)) if source.options else function


@lru_cache(maxsize=32)
def module_of(source: Source) -> ModuleType:
    """The loaded module; a user's file is loaded once per process and version."""
    if source.module.endswith(".py"):
        return plugins.load("sharpen.verifiers", source.module, kind="verifier")
    return importlib.import_module(source.module)


def judge_one(call: Judgement) -> Verdict:
    """Judge one response or attempt; whatever the verifier returns becomes a verdict."""
    return as_verdict(_judging(call.source)(*call.arguments))


def extract_one(call: Extraction) -> str | None:
    """Find the canonical answer of one response."""
    found = module_of(call.source).extract(call.response, **dict(call.source.options))
    return None if found is None else str(found)


def describe(source: Source) -> Description:
    """What a user's file holds; loading it runs it, so this is called in a worker."""
    module = module_of(source)
    return Description(
        has_function=callable(getattr(module, source.function, None)),
        has_extract=callable(getattr(module, "extract", None)),
        cases=tuple(getattr(module, "CASES", ())),
    )


def as_verdict(value: object) -> Verdict:
    """A verifier's return value as a verdict; anything but a verdict or a number in [0, 1] is an error."""
    match value:
        case Scored():
            return value if 0 <= value.value <= 1 else _bad(value.value)
        case Rejected() | Error():
            return value
        case numbers.Real() if 0 <= _size(value) <= 1:
            return Scored(value=_size(value))
        case _:
            return _bad(value)


def _bad(value: object) -> Error:
    shown = repr(_size(value)) if isinstance(value, numbers.Real) else type(value).__name__
    return Error(kind="bad value", detail=f"returned {shown}, not a verdict or a number from 0 to 1")


def _size(value: numbers.Real) -> float:
    """A number as a score; infinite where it is beyond all scores."""
    try:
        return float(value)
    except OverflowError:
        return math.inf
