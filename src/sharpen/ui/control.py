"""Stopping a run that goes on, and going on with one that stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from sharpen.core.budget import Budget
from sharpen.core.errors import Busy, SharpenError
from sharpen.core.records import Record
from sharpen.ui.holders import Holders

LOG = "resume.log"
"""Where a resumed run writes what it would have shown; in the run's folder."""
_AGAIN = 10.0
"""Seconds before the same process may be asked to stop once more; a second signal could hit its clean-up."""
_PROGRAM = "from sharpen.cli import main; main()"


class Asked(Record):
    """What was done."""

    process: int
    note: str


class Resumed(Record):
    """What became of a run that was resumed here."""

    process: int | None = None
    """The process that was started, as long as it lives."""
    failure: str = ""
    """Why it ended, if it did not end well: the last line it wrote."""


class Control:
    """Acts on runs; remembers whom it asked to stop and what it started."""

    def __init__(self) -> None:
        self._stopped: dict[int, float] = {}
        self._started: dict[Path, subprocess.Popen[bytes]] = {}
        self._acting = threading.Lock()

    def stop(self, folder: Path) -> Asked:
        """Ask the process that holds the run to end cleanly, as Ctrl-C does; nothing done is lost.

        SharpenError if no process holds it, or if the one that does would not end cleanly.
        """
        with self._acting:
            process = Holders().of(folder)
            if process is None:
                raise SharpenError(f"run {folder.name} is not going on", remedy="there is nothing to stop")
            if time.monotonic() - self._stopped.get(process, -_AGAIN) < _AGAIN:
                return Asked(process=process, note="has been asked before; it ends after the step it is in")
            self._stopped[process] = time.monotonic()
            _interrupt(process, folder)
            return Asked(process=process, note="asked to stop; nothing done is lost")

    def resume(self, folder: Path, budget: str) -> Asked:
        """Start `sharpen resume` for the run, as a process that outlives this one.

        Busy if the run goes on already; BadInput for a budget that cannot be read.
        """
        Budget.parse(budget)
        with self._acting:
            held, started = Holders().of(folder), self.started(folder)
            if held or started:
                raise Busy(f"run {folder.name} goes on in process {held or started}", remedy="stop it first")
            command = [sys.executable, "-P", "-c", _PROGRAM, "resume", str(folder.absolute())]
            with (folder / LOG).open("wb") as log:
                process = subprocess.Popen(
                    [*command, "--budget", budget] if budget else command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            self._started[folder] = process
            return Asked(process=process.pid, note=f"resumed; what it says goes to {LOG}")

    def started(self, folder: Path) -> int | None:
        """The process that was started for the run, if it has not ended; at first it does not hold it yet."""
        process = self._started.get(folder)
        return process.pid if process and process.poll() is None else None

    def resumed(self, folder: Path) -> Resumed:
        """What became of the process that was started for the run last."""
        process = self._started.get(folder)
        code = process.poll() if process else 0
        if process is None or code == 0:
            return Resumed()
        if code is None:
            return Resumed(process=process.pid)
        lines = (folder / LOG).read_bytes()[-2000:].decode(errors="replace").strip().splitlines()
        return Resumed(failure=lines[-1] if lines else f"it ended with {code}")


def _interrupt(process: int, folder: Path) -> None:
    """Signal the process if it still is the one that holds the run, and would end cleanly."""
    handle = os.pidfd_open(process)
    try:
        if Holders().of(folder) != process or not _has_open(process, folder / "lock"):
            raise SharpenError(f"process {process} no longer holds the run", remedy="look again")
        signal.pidfd_send_signal(handle, _clean_signal(process))
    finally:
        os.close(handle)


def _has_open(process: int, lock: Path) -> bool:
    """Whether the process has this very file open."""
    wanted = lock.stat()
    for link in Path(f"/proc/{process}/fd").iterdir():
        try:
            if os.path.samestat(link.stat(), wanted):
                return True
        except FileNotFoundError:  # closed meanwhile, or something without a place in the file system
            continue
    return False


def _clean_signal(process: int) -> signal.Signals:
    """Ctrl-C's signal if the process listens to it, else the one that asks to end, if it listens to that."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="replace")
    caught = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt:"))
    for kind in (signal.SIGINT, signal.SIGTERM):
        if caught >> (kind - 1) & 1:
            return kind
    raise SharpenError(
        f"process {process} does not listen to a request to stop",
        remedy=f"`kill {process}` loses at most a step",
    )
