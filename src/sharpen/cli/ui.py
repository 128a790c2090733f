"""The command that shows runs in a browser."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from sharpen.cli.runs import RUNS
from sharpen.core.errors import Unavailable


def ui(*, runs: Path = RUNS, port: int = 7733) -> None:
    """Show runs in a browser, live; stop them and go on with them. Listens on this machine only.

    Parameters
    ----------
    runs
        Where the runs are.
    port
        Port to listen on; 0 takes a free one.
    """
    if find_spec("fastapi") is None or find_spec("uvicorn") is None:
        raise Unavailable(
            "the live page needs the packages fastapi and uvicorn", remedy="pip install 'sharpen[ui]'"
        )
    from sharpen.ui.serving import serve

    serve(runs, port, lambda address: _say(f"open {address}\nCtrl-C ends the page; runs go on without it"))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
