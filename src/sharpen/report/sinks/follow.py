"""Tells trackers of a run: each from a process of its own, which reads the run's journal.

The run starts it, says when it ends, and never waits in between: a tracker that fails or hangs is reported
when the run is over, and has changed nothing. What was told is noted in the run's folder, so that a run that
goes on later is told on.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import islice
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from sharpen.core import plugins
from sharpen.core.artifact import ArtifactStore, write_atomic
from sharpen.core.errors import Unavailable
from sharpen.core.journal import read_rows
from sharpen.core.records import Record, digest
from sharpen.core.spec import Spec, dials
from sharpen.executors.pool import process_context
from sharpen.experiment.manifest import read_manifest
from sharpen.experiment.result import Result
from sharpen.experiment.show import read_result
from sharpen.report.sinks.base import About, Sink
from sharpen.report.sinks.rounds import Numbers, Rounds

PACKAGE = "sharpen.report.sinks"
PATIENCE = 120.0
"""Seconds that a tracker gets after the end of the run."""
_LAST_WORDS = 5.0
"""Seconds in which one that hangs may write down where it does."""
_PAUSE, _SHARE = 1.0, 20
"""Between looks at the journal: seconds, and how many times as long as the last look took."""
_PRELOAD = ("sharpen.core.task", "sharpen.report.sinks.follow")
_ENDED, _STOPPED = "ended", "stopped"


class Asked(Record):
    """A tracker that is to be told."""

    name: str
    options: Mapping[str, Any]


class State(Record):
    """What a tracker has been told of a run."""

    round: int = 0
    """The last round."""
    head: str = ""
    """Journal head of the result."""


def asked_for(texts: Sequence[str]) -> tuple[Asked, ...]:
    """Read `tensorboard`, `mlflow?uri=...`; BadInput or Unavailable before anything starts."""
    return tuple(map(_asked, texts))


def _asked(text: str) -> Asked:
    spec = Spec.parse(text, kind="sink")
    module = plugins.load(PACKAGE, spec.name, kind="sink", defines="open_sink")
    if find_spec(module.PACKAGE) is None:
        raise Unavailable(
            f"sink {spec.name}: package {module.PACKAGE} is not installed",
            remedy=f"pip install 'sharpen[{spec.name}]'",
        )
    return Asked(name=spec.name, options=spec.bind(dials(module.open_sink), kind="sink"))


@contextmanager
def following(folder: Path, sinks: Sequence[Asked], warn: Callable[[str], None]) -> Iterator[None]:
    """Tell trackers of the run in `folder` while the body makes it; `warn` hears of those that failed."""
    started = [(asked, *_started(folder, asked)) for asked in sinks]
    said = _STOPPED
    try:
        yield
        said = _ENDED
    finally:
        for _, _, ours in started:
            _say(ours, said)
        for asked, process, ours in started:
            process.join(PATIENCE)
            if process.exitcode != 0:
                how = _end(process) if process.exitcode is None else "failed"
                log = _log_of(folder, asked.name)
                warn(f"sink {asked.name} {how}; the run itself is whole, {log} says more")
            ours.close()


def _started(folder: Path, asked: Asked) -> tuple[Any, Connection]:
    theirs, ours = Pipe(duplex=False)
    process = process_context(_PRELOAD).Process(target=_follow, args=(folder, asked, theirs))
    process.start()
    theirs.close()
    return process, ours


def _end(process: Any) -> str:
    """End a tracker that hangs, and say so; its log gets to know where it stood."""
    process.terminate()
    process.join(_LAST_WORDS)
    process.kill()
    return f"hung for {PATIENCE:.0f} s and was ended"


def _say(ours: Connection, word: str) -> None:
    try:
        ours.send(word)
    except BrokenPipeError:
        return  # It has failed: its exit status is looked at next.


def _log_of(folder: Path, name: str) -> Path:
    return folder / "sinks" / f"{Path(name).stem}.log"


def _follow(folder: Path, asked: Asked, run: Connection) -> None:
    """In the tracker's own process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    word = None
    # A run's folder must hold nothing before its journal does.
    while word is None and not (folder / "journal.sqlite").is_file():
        word = _heard(run, _PAUSE)
    if not (folder / "journal.sqlite").is_file():
        return
    log = _log_of(folder, asked.name)
    log.parent.mkdir(exist_ok=True)
    with log.open("ab", buffering=0) as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    faulthandler.register(signal.SIGTERM, chain=True)
    _Teller(folder, asked).tell_all(run, word)


def _heard(run: Connection, seconds: float) -> str | None:
    """What the run says within so many seconds; a run that was killed has stopped."""
    try:
        return str(run.recv()) if run.poll(seconds) else None
    except EOFError:
        return _STOPPED


class _Teller:
    """Tells one tracker of one run."""

    def __init__(self, folder: Path, asked: Asked) -> None:
        self._folder, self._asked = folder, asked
        self._sink: Sink | None = None
        self._rows = 0
        self._rounds = Rounds(ArtifactStore(folder / "store").get)
        self._path = folder / "sinks" / f"{Path(asked.name).stem}.json"
        self._state = State()
        if self._path.is_file():
            self._state = State.model_validate_json(self._path.read_bytes())

    def tell_all(self, run: Connection, word: str | None) -> None:
        """Until the run ends or stops, which it does not say again if it has: then `word` is what it said."""
        pause = 0.0
        while True:
            word = word or _heard(run, pause)
            begun = time.monotonic()
            for row in islice(read_rows(self._folder), self._rows, None):
                self._rows += 1
                for numbers in self._rounds.add(row):
                    self._tell(numbers)
            if word is not None:
                break
            pause = max(_PAUSE, _SHARE * (time.monotonic() - begun))
        if word == _ENDED:
            for numbers in self._rounds.rest():
                self._tell(numbers)
            self._conclude(read_result(self._folder))
        if self._sink is not None:
            self._sink.close(ended=word == _ENDED)

    def _tell(self, numbers: Numbers) -> None:
        if numbers.round > self._state.round:
            self._opened().numbers(numbers.round, numbers.values)
            self._note(round=numbers.round)

    def _conclude(self, result: Result) -> None:
        if result.journal_head != self._state.head:
            self._opened().numbers(self._state.round, dict(_final(result)))
            self._note(head=result.journal_head)

    def _note(self, **told: Any) -> None:
        self._state = self._state.model_copy(update=told)
        write_atomic(self._path, self._state.model_dump_json().encode())

    def _opened(self) -> Sink:
        if self._sink is None:
            module = plugins.load(PACKAGE, self._asked.name, kind="sink", defines="open_sink")
            opened: Sink = module.open_sink(_about(self._folder), **self._asked.options)
            self._sink = opened
        return self._sink


def _about(folder: Path) -> About:
    manifest = read_manifest(folder)
    assert manifest is not None
    place = folder.absolute()
    return About(
        name=place.name,
        key=digest([str(place), manifest])[:16],
        beside=place.parent,
        settings={name: str(value) for name, value in manifest.identity.items()},
    )


def _final(result: Result) -> Iterator[tuple[str, float]]:
    """The scores on the sealed test."""
    scores = {
        "test/before": result.test.before,
        "test/after": result.test.after,
        "test/no update": result.controls.no_update,
        "test/more samples": result.controls.more_samples,
    }
    for name, score in scores.items():
        if score.mean is not None:
            yield name, score.mean
