"""Pictures before and after, as one grid: for every run whose attempts at the test tasks are pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sharpen.core.artifact import ArtifactStore, write_atomic
from sharpen.core.attempt import Attempt
from sharpen.core.errors import Damaged
from sharpen.core.journal import read_rows
from sharpen.core.records import decode
from sharpen.experiment.result import Result

NAME = "samples.png"
SHOWN = 12
"""Captions that are shown."""
_SIDE = 96
_TEXT = 330


def write_samples(folder: Path, result: Result) -> Path | None:
    """Write `samples.png` into the run's folder and return its path; None for runs without pictures.

    One row per test task: the caption, the picture of the policy at the start, that of the policy at the end.
    """
    by_version = _test_attempts(folder)
    versions = [version for version in by_version if version != result.policy]
    after = by_version.get(result.policy)
    before = by_version[versions[0]] if versions else after
    if not before or not after or not (before[0].files and after[0].files):
        return None
    store = ArtifactStore(folder / "store")
    rows = [
        (_caption(old), _picture(store, old), _picture(store, new))
        for old, new in zip(before, after, strict=True)
    ]
    write_atomic(folder / NAME, _grid(rows[:SHOWN]))
    return folder / NAME


def _test_attempts(folder: Path) -> dict[str, tuple[Attempt, ...]]:
    """Policy -> its attempts at the test tasks, in order."""
    store, found = ArtifactStore(folder / "store"), dict[str, tuple[Attempt, ...]]()
    for row in read_rows(folder):
        place, _, rest = row.entry.key.partition("/")
        name, _, rest = rest.partition("/")
        if place == "evaluate" and name == "test" and row.entry.verb == "attempt":
            version = rest.partition("/")[0]
            part: tuple[Attempt, ...] = decode(tuple[Attempt, ...], store.get(row.entry.blob))
            found[version] = found.get(version, ()) + part
    return found


def _caption(attempt: Attempt) -> str:
    text = attempt.turns[0].text if attempt.turns else attempt.task
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text)[:56]


def _picture(store: ArtifactStore, attempt: Attempt) -> Any:
    """The attempt's first file as an image; a blank one where it is no readable picture."""
    from PIL import Image

    from sharpen.tasks.pictures import pixels_of

    try:
        pixels = pixels_of(store.get(next(iter(attempt.files.values()))), most_side=512)
    except (ValueError, Damaged, StopIteration):
        return Image.new("RGB", (_SIDE, _SIDE), "grey")
    return Image.fromarray(pixels).resize((_SIDE, _SIDE), Image.Resampling.NEAREST)


def _grid(rows: Sequence[tuple[str, Any, Any]]) -> bytes:
    from io import BytesIO

    from PIL import Image, ImageDraw

    gap = 8
    sheet = Image.new("RGB", (_TEXT + 2 * (_SIDE + gap), 20 + len(rows) * (_SIDE + gap)), "white")
    pen = ImageDraw.Draw(sheet)
    for column, heading in enumerate(("before", "after")):
        pen.text((_TEXT + column * (_SIDE + gap), 4), heading, fill="black")
    for number, (caption, *pictures) in enumerate(rows):
        top = 20 + number * (_SIDE + gap)
        pen.text((4, top + _SIDE // 2 - 6), caption, fill="black")
        for column, picture in enumerate(pictures):
            sheet.paste(picture, (_TEXT + column * (_SIDE + gap), top))
    buffer = BytesIO()
    sheet.save(buffer, format="PNG")
    return buffer.getvalue()
