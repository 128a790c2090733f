"""Writing reports to disk."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from sharpen.core.artifact import write_atomic
from sharpen.core.errors import BadInput, Damaged
from sharpen.core.records import Record
from sharpen.experiment.compare import FILE as COMPARED
from sharpen.experiment.comparison import Comparison
from sharpen.report.comparison_page import comparison_page
from sharpen.report.history import read_history
from sharpen.report.page import Page, render
from sharpen.report.run_page import run_page

NAME = "report.html"


class Written(Record):
    """A report on disk."""

    file: Path
    bytes: int


def write_report(folder: Path, out: Path | None = None) -> Written:
    """Write the report of a run or a comparison; by default into its folder.

    BadInput if the file cannot stand where it is wanted, SharpenError if there is no run.
    """
    page, target = page_of(folder), out or folder / NAME
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise BadInput("out", str(target), "cannot be a file there", remedy="give a file in a folder that is")
    data = render(page).encode()
    write_atomic(target, data)
    return Written(file=target, bytes=len(data))


def page_of(folder: Path) -> Page:
    """What there is to say of a run's or a comparison's folder."""
    summary = folder / COMPARED
    if not summary.is_file():
        return run_page(read_history(folder))
    try:
        found = Comparison.model_validate_json(summary.read_bytes())
    except ValidationError:
        raise Damaged(f"{summary} cannot be read", remedy="make the comparison again") from None
    return comparison_page(found, folder.absolute().name)
