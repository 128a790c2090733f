"""Programs as files of text: read from a model's reply with limits, patched, and never run in this process.

A reply changes files by whole new contents or by search and replace:

    FILE task_agent.py              EDIT task_agent.py
    ```python                       <<<<<<< SEARCH
    ...                             ...
    ```                             =======
                                    ...
                                    >>>>>>> REPLACE

Files lie flat in one folder. A reply that touches a protected file, a path or too much is refused as a whole.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sharpen.core.errors import SharpenError
from sharpen.sandbox.asking import ENTRY

MAX_REPLY = 200_000
MAX_FILE = 32_000
MAX_FILES = 8
MAX_EDITS = 40
TASK_FILE, IMPROVER_FILE = "task_agent.py", "meta_agent.py"
TASK_FUNCTION, IMPROVER_FUNCTION = "answer", "instructions"
"""What the two files must define: `answer(question) -> str`, `instructions(brief) -> str`."""
PROBE = "probe.py"
"""Name of the file that tries whether the others load; a program has no file of this name."""
FORM_OF_REPLY = """Reply with changes in one of these two forms, as many as needed.
A whole file:
FILE name.py
```python
its contents
```
A part of a file, which must stand there exactly once:
EDIT name.py
<<<<<<< SEARCH
old lines
=======
new lines
>>>>>>> REPLACE
File names have no folders. task_agent.py must define answer(question: str) -> str; meta_agent.py must define
instructions(brief: dict) -> str. Only Python's standard library is there: no network, no other files."""
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,39}\.(py|md|txt|json)")
_WHOLE, _PARTS = "FILE", "EDIT"
_DRESS = "*`: "
_FENCE = "```"
_SEARCH, _MIDDLE, _REPLACE = "<<<<<<< SEARCH", "=======", ">>>>>>> REPLACE"

Files = Mapping[str, str]


class Refused(SharpenError):
    """A reply is not applied; the problem says why."""


class Edit(NamedTuple):
    """A change of one file: `old` stands there once and becomes `new`; None stands for the whole file."""

    name: str
    old: str | None
    new: str


def starter_program() -> dict[str, str]:
    """The first program: it repeats the question; its improver shows the failures and asks for a change."""
    folder = Path(__file__).with_name("starter_program")
    return {name: (folder / name).read_text(encoding="utf-8") for name in (TASK_FILE, IMPROVER_FILE)}


def parse_reply(reply: str) -> tuple[Edit, ...]:
    """The edits that a reply asks for, in order; Refused if there is none, or one that is malformed."""
    if len(reply) > MAX_REPLY:
        raise _refused(f"the reply has {len(reply)} characters")
    lines, place = reply.splitlines(keepends=True), 0
    edits: list[Edit] = []
    while place < len(lines):
        head = _head(lines[place].strip())
        place += 1
        if head:
            verb, name = head[0], checked_name(head[1])
            read = _read_whole if verb == _WHOLE else _read_parts
            found, place = read(lines, place, name)
            edits += found
    if not 0 < len(edits) <= MAX_EDITS:
        raise _refused(f"the reply holds {len(edits)} edits")
    return tuple(edits)


def _head(line: str) -> tuple[str, str] | None:
    """Verb and name in a line like `### FILE: name.py`; None for another line."""
    bare = line.lstrip("#*` ")
    if not bare.startswith((_WHOLE, _PARTS)):
        return None
    verb, rest = bare[: len(_WHOLE)], bare[len(_WHOLE) :]
    name = rest.strip(_DRESS)
    if not rest.startswith((" ", ":")) or not name:
        return None
    return None if any(sign in "*`" or sign.isspace() for sign in name) else (verb, name)


def _read_whole(lines: Sequence[str], place: int, name: str) -> tuple[list[Edit], int]:
    """A file between two fences, and the place after it."""
    place = _after_blank(lines, place)
    if place >= len(lines) or not lines[place].startswith(_FENCE):
        raise _refused(f"FILE {name} is followed by no fenced contents")
    end = _line_at(lines, place + 1, _FENCE, name)
    return [Edit(name, None, "".join(lines[place + 1 : end]))], end + 1


def _read_parts(lines: Sequence[str], place: int, name: str) -> tuple[list[Edit], int]:
    """One or more replacements, and the place after them; a fence around them is passed over."""
    edits: list[Edit] = []
    while (start := _after_blank(lines, place)) < len(lines) and lines[start].strip() == _SEARCH:
        middle = _line_at(lines, start + 1, _MIDDLE, name)
        end = _line_at(lines, middle + 1, _REPLACE, name)
        edits.append(Edit(name, "".join(lines[start + 1 : middle]), "".join(lines[middle + 1 : end])))
        place = end + 1
    if not edits:
        raise _refused(f"EDIT {name} is followed by no replacement")
    return edits, place


def _after_blank(lines: Sequence[str], place: int) -> int:
    """The next line that says something, where fences around replacements say nothing."""
    while place < len(lines) and not lines[place].strip():
        place += 1
    pair = [line.strip() for line in lines[place : place + 2]]
    fenced = len(pair) == 2 and pair[0].startswith(_FENCE) and pair[1] == _SEARCH
    return place + 1 if fenced else place


def _line_at(lines: Sequence[str], place: int, mark: str, name: str) -> int:
    for number in range(place, len(lines)):
        if lines[number].rstrip() == mark:
            return number
    raise _refused(f"the change of {name} has no line {mark!r}")


def checked_name(name: str) -> str:
    """The name, if a program may have a file of it; Refused otherwise."""
    if not _NAME.fullmatch(name):
        raise _refused(f"{name[:80]!r} is not the name of a file of the program")
    if name in (ENTRY, PROBE) or name.partition(".")[0] in sys.stdlib_module_names:
        raise _refused(f"{name} is not the program's to change")
    return name


def patched(files: Files, edits: tuple[Edit, ...], protected: frozenset[str] = frozenset()) -> dict[str, str]:
    """The files with all edits made; Refused if one is of a protected file, does not fit or is too large."""
    new = dict(files)
    for edit in edits:
        if edit.name in protected:
            raise _refused(f"{edit.name} is protected")
        new[edit.name] = edit.new if edit.old is None else _replaced(new, edit.name, edit.old, edit.new)
        if _size(new[edit.name]) > MAX_FILE:
            raise _refused(f"{edit.name} would have more than {MAX_FILE} bytes")
    if len(new) > MAX_FILES:
        raise _refused(f"the program would have {len(new)} files")
    return dict(sorted(new.items()))


def _size(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise _refused("the reply holds characters that are none") from None


def _replaced(files: Files, name: str, old: str, new: str) -> str:
    count = files.get(name, "").count(old) if old.strip() else 0
    if count != 1:
        raise _refused(f"the text to replace stands {count} times in {name}")
    return files[name].replace(old, new)


def patch_text(old: Files, new: Files) -> str:
    """What changed, as a unified diff."""
    lines: list[str] = []
    for name in sorted({*old, *new}):
        before, after = (files.get(name, "").splitlines() for files in (old, new))
        lines += difflib.unified_diff(before, after, f"a/{name}", f"b/{name}", lineterm="")
    return "\n".join(lines)


def _refused(problem: str) -> Refused:
    return Refused(problem, remedy="the program stays as it was")
