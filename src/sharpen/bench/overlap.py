"""Judging a chunk of attempts while the next one is sampled, beside the same work one after the other.

The attempts are at writing functions: running each against its tests in the sandbox takes longer than a small
model takes to write it. Both ways end in the same journal, or nothing is reported.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sharpen.actors.base import Cast, Stage
from sharpen.bench.rows import Row, alternate, row_of
from sharpen.bench.search import Quiet
from sharpen.core.artifact import ArtifactStore
from sharpen.core.attempt import Attempt
from sharpen.core.engine import Engine
from sharpen.core.errors import SharpenError
from sharpen.core.journal import Journal
from sharpen.core.policy import Decoding, Policy
from sharpen.core.run import Run
from sharpen.core.task import Task
from sharpen.core.updater import Stopwatch
from sharpen.core.verdict import Verdict
from sharpen.executors.pool import JudgePool
from sharpen.tasks.source import load_tasks
from sharpen.verifiers.source import OpenVerifier, open_verifier

if TYPE_CHECKING:
    from sharpen.models.hf import HFModel

TASK, VERIFIER = "functions", "python"
CHUNK_ROWS, SAMPLES, TOKENS = 64, 4, 48


class Waiting(NamedTuple):
    """A verifier that does not begin before it is asked."""

    opened: OpenVerifier

    @property
    def fingerprint(self) -> str:
        """That of the verifier."""
        return self.opened.fingerprint

    def judge(self, pairs: Sequence[tuple[Task, Attempt]], read: Callable[[str], bytes]) -> list[Verdict]:
        """As the verifier does."""
        return self.opened.judge(pairs, read)


def run(model: HFModel, *, quick: bool) -> list[Row]:
    """Seconds for sampling and judging, both ways."""
    chunks, repeats = (2, 1) if quick else (6, 3)
    tasks = load_tasks(TASK, train=chunks * CHUNK_ROWS // SAMPLES, val=1, test=1).train
    heads: set[str] = set()
    with JudgePool(workers=len(os.sched_getaffinity(0))) as pool:
        verifier = open_verifier(VERIFIER, pool=pool)
        own, waiting = alternate(
            [
                lambda: _seconds(model, tasks, verifier, heads),
                lambda: _seconds(model, tasks, Waiting(verifier), heads),
            ],
            repeats,
        )
    if len(heads) != 1:
        raise SharpenError("judging ahead changed the journal", remedy="please report this")
    case = f"{model.name}: {chunks} chunks of {CHUNK_ROWS} functions"
    return [
        row_of(
            case,
            "seconds to sample and judge, overlapped",
            own,
            waiting,
            "one after the other",
            note="equal journals",
        )
    ]


def _seconds(
    model: HFModel, tasks: Sequence[Task], verifier: OpenVerifier | Waiting, heads: set[str]
) -> float:
    with tempfile.TemporaryDirectory() as folder:
        store, journal = ArtifactStore(Path(folder) / "store"), Journal(Path(folder))
        engine = Engine(
            recipe="bench",
            seed=1,
            journal=journal,
            store=store,
            actor=Cast(Stage({"model": model}, store, Stopwatch())),
            verifier=verifier,
            models={"model": model},
            folder=Path(folder),
            listener=Quiet(),
            decoding=Decoding(max_tokens=TOKENS),
            chunk_rows=CHUNK_ROWS,
        )
        policy, loop = Policy(model="model", base=model.fingerprint), Run(engine)
        began = time.perf_counter()
        try:
            loop.judge(loop.attempt(policy, tasks, samples=SAMPLES), tasks)
            heads.add(journal.head)
        finally:
            journal.close()
        return time.perf_counter() - began
