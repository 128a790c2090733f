"""What a run would cost, before it runs: the recipe is walked through with made-up attempts."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from sharpen.actors.base import Cast, Stage
from sharpen.core.artifact import ArtifactStore
from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.budget import Purpose, Usage
from sharpen.core.engine import Engine, Read
from sharpen.core.journal import Entry, Journal, Wall
from sharpen.core.policy import Decoding, Job, Policy
from sharpen.core.records import Record
from sharpen.core.run import Run
from sharpen.core.task import Task
from sharpen.core.updater import Stopwatch, Updated, Updater, Workbench
from sharpen.core.verdict import Scored, Verdict
from sharpen.curation.batch import Batch
from sharpen.executors.pool import JudgePool
from sharpen.experiment.assemble import POLICY_MODEL, Setup, assemble
from sharpen.experiment.spec import RunSpec

_PROBE_TASKS, _PROBE_SAMPLES = 8, 8
_TRAIN_COST = 3
_RIGHT_SHARE = 0.5


class Forecast(Record):
    """The resolved configuration and an estimate of the method's cost."""

    spec: RunSpec
    identity: Mapping[str, JsonValue]
    usage: Usage
    tokens_per_attempt: float
    tokens_per_second: float
    seconds: float

    def lines(self) -> list[tuple[str, str]]:
        """Name and text, for printing."""
        shown = [(name, str(value)) for name, value in self.identity.items() if not isinstance(value, dict)]
        settings = self.identity["config"]
        assert isinstance(settings, dict)
        shown += [(f"  {name}", str(value)) for name, value in settings.items()]
        shown += [(f"predicted {name}", f"{value:,}") for name, value in self.usage.model_dump().items()]
        rate = f"{self.tokens_per_second:,.0f} tokens/s measured on {_PROBE_TASKS * _PROBE_SAMPLES} samples"
        return [*shown, ("predicted seconds", f"{self.seconds:,.0f} ({rate}); evaluation and controls extra")]


class _MadeUpActor:
    """Answers every job with the same number of tokens."""

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens

    def act(self, policy: Policy, jobs: Sequence[Job], decoding: Decoding) -> list[Attempt]:
        ids, logprobs = (0,) * self._tokens, (-0.1,) * self._tokens
        return [
            Attempt(
                task=job.task.key,
                index=job.index,
                policy=policy.version,
                turns=(
                    Turn(
                        author=Author.POLICY,
                        text=str(job.seed),
                        token_ids=ids,
                        logprobs=logprobs,
                    ),
                ),
            )
            for job in jobs
        ]


class _MadeUpVerifier:
    """Half of all attempts are right."""

    fingerprint = "made-up"

    def judge(self, pairs: Sequence[tuple[Task, Attempt]], read: Read) -> list[Verdict]:
        return [Scored(value=float(int(a.response) % 100 < 100 * _RIGHT_SHARE)) for _, a in pairs]


def _count_only(updater: Updater, work: Workbench, policy: Policy, batch: Any) -> Updated:
    """Stand-in for training: only counts the tokens."""
    tokens = sum(item.attempt.token_count for item in batch.items) if isinstance(batch, Batch) else 0
    return Updated(policy=policy, usage=Usage(trained_tokens=tokens * _passes(updater, batch)))


def _passes(updater: Updater, batch: Batch) -> int:
    epochs = getattr(updater, "epochs", None)
    if epochs is not None:
        return int(epochs)
    seen = (getattr(updater, "steps", None) or 1) * getattr(updater, "batch_size", 1)
    return max(1, round(seen / max(1, len(batch))))


class Silent:
    """A listener that shows nothing."""

    def progress(self, step: str, done: float, total: float, note: str) -> None:
        """Ignore."""

    def finished(self, entry: Entry, wall: Wall, result: object, *, replayed: bool) -> None:
        """Ignore."""


def predict(spec: RunSpec) -> Forecast:
    """Check the request, measure the sampling rate on a few tasks, and count what the recipe would use."""
    with JudgePool() as pool, tempfile.TemporaryDirectory() as folder:
        setup = assemble(spec, pool)
        tokens, rate = _measure(setup, Path(folder))
        usage = _walk(setup, Path(folder), round(tokens))
    work = usage.sampled_tokens + _TRAIN_COST * usage.trained_tokens
    return Forecast(
        spec=spec,
        identity=setup.manifest().identity,
        usage=usage,
        tokens_per_attempt=tokens,
        tokens_per_second=rate,
        seconds=work / rate,
    )


def _measure(setup: Setup, folder: Path) -> tuple[float, float]:
    """Mean tokens of an attempt, and tokens per second."""
    actor = Cast(Stage({POLICY_MODEL: setup.model}, ArtifactStore(folder / "probe"), Stopwatch()))
    tasks = setup.tasks.train[:_PROBE_TASKS]
    jobs = [Job(task, index, index) for task in tasks for index in range(_PROBE_SAMPLES)]
    start = time.perf_counter()
    attempts = actor.act(setup.policy, jobs, Decoding(max_tokens=setup.max_tokens))
    total = sum(attempt.token_count for attempt in attempts)
    return max(1.0, total / len(jobs)), max(1.0, total / (time.perf_counter() - start))


def _walk(setup: Setup, folder: Path, tokens: int) -> Usage:
    journal = Journal(folder)
    try:
        engine = Engine(
            recipe=setup.recipe.name,
            seed=setup.spec.seed,
            journal=journal,
            store=ArtifactStore(folder / "store"),
            actor=_MadeUpActor(tokens),
            verifier=_MadeUpVerifier(),
            models={POLICY_MODEL: setup.model},
            folder=folder,
            listener=Silent(),
            incumbent=setup.policy,
            updating=_count_only,
        )
        setup.recipe.loop(Run(engine), setup.tasks, setup.policy, setup.config)
        return engine.used[Purpose.METHOD][0]
    finally:
        journal.close()
