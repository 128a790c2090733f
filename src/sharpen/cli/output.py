"""How commands print: JSON or text, and errors in one line."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

from cyclopts import Parameter

Json = Annotated[bool, Parameter(name="--json", negative="")]


def print_json(value: object) -> None:
    """Write records, or plain values, as indented JSON."""
    from pydantic_core import to_jsonable_python

    plain = to_jsonable_python(value)
    sys.stdout.write(json.dumps(plain, indent=1, ensure_ascii=False) + "\n")


def print_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Write aligned lines of name and text."""
    width = max((len(name) for name, _ in pairs), default=0)
    for name, text in pairs:
        sys.stdout.write(f"{name:<{width}}  {text}\n".rstrip() + "\n")


def explained(error: Exception) -> str:
    """A command line error in one line; a value that was refused is named with its field."""
    from pydantic import ValidationError

    cause = error.__cause__ or error.__context__
    if isinstance(cause, ValidationError):
        first = cause.errors()[0]
        return f"--{'.'.join(map(str, first['loc'])).replace('_', '-')} = {first['input']}: {first['msg']}"
    return " ".join(str(error).split())


def fail(problem: str, remedy: str, words: Sequence[str]) -> NoReturn:
    """Print one line (and JSON if that was asked for) and exit with 2."""
    sys.stderr.write(f"error: {problem}  ->  {remedy}\n")
    if "--json" in words:
        print_json({"error": problem, "remedy": remedy})
    sys.exit(2)
