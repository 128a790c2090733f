"""The command that writes a report."""

from __future__ import annotations

from pathlib import Path

from sharpen.cli.output import Json, print_json, print_pairs


def report(folder: Path, /, *, out: Path | None = None, json: Json = False) -> None:
    """Write everything a run's journal says as one HTML file that needs no network.

    Parameters
    ----------
    folder
        Folder of the run, finished or not.
    out
        File to write; `report.html` in the folder if unset.
    json
        Print where the file is, and how large, as JSON.
    """
    from sharpen.report.write import write_report

    written = write_report(folder, out)
    if json:
        print_json(written)
    else:
        print_pairs([("report", str(written.file)), ("size", f"{written.bytes / 1000:,.0f} kB")])
