"""What a run would cost, before it runs: the recipe is walked through with a made-up model.

A model that is here is asked a little first, to learn how long its answers are and how fast they come. One
behind an endpoint is not, since every request may cost money.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pydantic import JsonValue

from sharpen.actors.base import Cast, Stage
from sharpen.core.ahead import Read
from sharpen.core.artifact import ArtifactStore
from sharpen.core.attempt import Attempt
from sharpen.core.budget import Purpose, Usage
from sharpen.core.engine import Engine
from sharpen.core.journal import Entry, Journal, Wall
from sharpen.core.policy import Decoding, Job, Policy
from sharpen.core.records import Record
from sharpen.core.run import Run
from sharpen.core.seeds import seed_for
from sharpen.core.task import Task
from sharpen.core.updater import Stopwatch, Updated, Updater, Workbench, is_light
from sharpen.core.verdict import Scored, Verdict
from sharpen.executors.pool import JudgePool
from sharpen.experiment.assemble import POLICY_MODEL, Setup, assemble, told_of
from sharpen.experiment.spec import RunSpec
from sharpen.models.base import Capability, Model
from sharpen.models.none import NoModel
from sharpen.models.scripted import ScriptedModel
from sharpen.models.source import is_endpoint
from sharpen.verifiers.source import OpenVerifier

_PROBE_TASKS, _PROBE_SAMPLES = 8, 8
_TRAIN_COST = 3


class Forecast(Record):
    """The resolved configuration and an estimate of the method's cost."""

    spec: RunSpec
    identity: Mapping[str, JsonValue]
    tasks: tuple[tuple[str, str], ...]
    """What is known of the tasks: the sizes of the splits, what was left out."""
    usage: Usage
    """Of the method."""
    measuring: Usage = Usage()
    """On top: what the recipe's gates and measurements use, and its preparation."""
    tokens_per_attempt: float
    """Measured; the longest that is allowed, where no model was asked."""
    tokens_per_second: float
    """0 if no model was asked."""
    seconds: float

    def lines(self) -> list[tuple[str, str]]:
        """Name and text, for printing."""
        shown = [(name, str(value)) for name, value in self.identity.items() if not isinstance(value, dict)]
        settings = self.identity["config"]
        assert isinstance(settings, dict)
        shown += [(f"  {name}", str(value)) for name, value in settings.items()]
        shown += self.tasks
        shown += [(f"predicted {name}", f"{value:,}") for name, value in self.usage.model_dump().items()]
        more = f"{self.measuring.model_calls:,} model calls, {self.measuring.sampled_tokens:,} sampled tokens"
        return [
            *shown,
            ("predicted measuring", f"{more} on top, in the loop"),
            *self._time(),
            ("not in it", "the test at the end with its controls"),
        ]

    def _time(self) -> list[tuple[str, str]]:
        """What the numbers rest on: a rate that was measured, or the longest answers there can be."""
        if self.tokens_per_second:
            told = (
                f"{self.tokens_per_second:,.0f} tokens/s measured on {_PROBE_TASKS * _PROBE_SAMPLES} samples"
            )
            return [("predicted seconds", f"{self.seconds:,.0f} ({told})")]
        if not self.tokens_per_attempt:
            return []
        longest = f"{self.tokens_per_attempt:,.0f} tokens"
        return [
            ("predicted how", f"nothing was sent to the endpoint: tokens as if every answer had {longest}")
        ]


class _MadeUpModel(ScriptedModel):
    """A model of which every response is another text of so many tokens; actors and worlds are real."""

    eos_id = 0

    def __init__(self, tokens: int) -> None:
        super().__init__(lambda prompt, seed: f"{seed}".ljust(tokens, ".")[:tokens], name="made-up")

    def encode_response(self, text: str) -> tuple[int, ...]:
        """As anywhere."""
        return self.encode(text)


@runtime_checkable
class _Painter(Protocol):
    """The part of a painter that says what its pictures are like."""

    size: int
    steps: int


class _MadeUpPainter:
    """A painter of plain pictures."""

    capabilities = frozenset({Capability.PICTURES})

    def __init__(self, size: int, steps: int) -> None:
        self.size, self.steps = size, steps

    def load(self, weights: Path | None) -> None:
        """Weights make no difference."""

    def draw(self, captions: Sequence[str], seeds: Sequence[int]) -> list[Any]:
        """One colour each."""
        import numpy as np

        return [np.full((self.size, self.size, 3), seed % 256, np.uint8) for seed in seeds]


def _stand_in(model: Model, tokens: int) -> object:
    """For any model that is asked: one behind an endpoint is, too, though it can do nothing but answer."""
    if isinstance(model, NoModel):
        return model
    return _MadeUpPainter(model.size, model.steps) if isinstance(model, _Painter) else _MadeUpModel(tokens)


class _MadeUpVerifier:
    """Half of all attempts are right; a verifier of whole attempts adds its evidence."""

    fingerprint = "made-up"

    def __init__(self, real: OpenVerifier) -> None:
        self._real = real

    def judge(self, pairs: Sequence[tuple[Task, Attempt]], read: Read) -> list[Verdict]:
        """By chance."""
        known: Sequence[Verdict] = self._real.judge(pairs, read) if self._real.sees_attempt else ()
        found = [Scored(value=float(seed_for(a.task, a.response, a.index) % 2)) for _, a in pairs]
        return [
            one.model_copy(update={"evidence": verdict.evidence}) if isinstance(verdict, Scored) else one
            for one, verdict in zip_longest(found, known)
        ]

    def extract_many(self, responses: Sequence[str]) -> list[str | None]:
        return list(responses)


def _count_only(updater: Updater, work: Workbench, policy: Policy, batch: Any) -> Updated:
    """Stand-in for training: only counts the tokens of every attempt that the batch holds."""
    if is_light(updater):
        return updater.update(work, policy, batch)
    attempts = list(_attempts_in(batch))
    tokens = sum(attempt.token_count for attempt in attempts)
    items = getattr(batch, "items", attempts)
    return Updated(policy=policy, usage=Usage(trained_tokens=tokens * _passes(updater, len(items))))


def _attempts_in(data: object) -> Iterator[Attempt]:
    match data:
        case Attempt():
            yield data
        case Record():
            for name in type(data).model_fields:
                yield from _attempts_in(getattr(data, name))
        case tuple() | list():
            for item in data:
                yield from _attempts_in(item)


def _passes(updater: Updater, items: int) -> int:
    epochs = getattr(updater, "epochs", None)
    if epochs is not None:
        return int(epochs)
    seen = (getattr(updater, "steps", None) or 1) * getattr(updater, "batch_size", 1)
    return max(1, round(seen / max(1, items)))


class Silent:
    """A listener that shows nothing."""

    def progress(self, step: str, done: float, total: float, note: str) -> None:
        """Ignore."""

    def finished(self, entry: Entry, wall: Wall, result: object, *, replayed: bool) -> None:
        """Ignore."""


def predict(spec: RunSpec, *, paying: bool = False) -> Forecast:
    """Check the request, measure the sampling rate on a few tasks, and count what the recipe would use.

    An endpoint is sent nothing, not even the question whether it is there; with `paying` it is measured, too.
    """
    sending = paying or not is_endpoint(spec.model)
    with JudgePool() as pool, tempfile.TemporaryDirectory() as folder:
        setup = assemble(spec, pool, probe=sending)
        tokens, rate = _pace(setup, Path(folder), sending=sending)
        usage, measuring = _walk(setup, Path(folder), round(tokens))
    work = usage.sampled_tokens + _TRAIN_COST * usage.trained_tokens
    return Forecast(
        spec=spec,
        identity=setup.manifest().identity,
        tasks=tuple(told_of(spec, setup.tasks)),
        usage=usage,
        measuring=measuring,
        tokens_per_attempt=tokens,
        tokens_per_second=rate,
        seconds=work / rate if rate else 0.0,
    )


def _pace(setup: Setup, folder: Path, *, sending: bool) -> tuple[float, float]:
    """Tokens of an attempt, and tokens per second, 0 if that is unknown."""
    if isinstance(setup.model, NoModel):
        return 0.0, 0.0
    return _measure(setup, folder) if sending else (float(setup.max_tokens), 0.0)


def _measure(setup: Setup, folder: Path) -> tuple[float, float]:
    """Mean tokens of an attempt, and tokens per second."""
    actor = Cast(Stage({POLICY_MODEL: setup.model}, ArtifactStore(folder / "probe"), Stopwatch()))
    tasks = setup.tasks.train[:_PROBE_TASKS]
    jobs = [Job(task, index, index) for task in tasks for index in range(_PROBE_SAMPLES)]
    start = time.perf_counter()
    attempts = actor.act(setup.policy, jobs, Decoding(max_tokens=setup.max_tokens))
    total = sum(attempt.token_count for attempt in attempts)
    return max(1.0, total / len(jobs)), max(1.0, total / (time.perf_counter() - start))


def _walk(setup: Setup, folder: Path, tokens: int) -> tuple[Usage, Usage]:
    """What the method uses, and what all else in its loop does."""
    journal, store = Journal(folder), ArtifactStore(folder / "store")
    models: dict[str, Any] = {POLICY_MODEL: _stand_in(setup.model, tokens)}
    try:
        engine = Engine(
            recipe=setup.recipe.name,
            seed=setup.spec.seed,
            journal=journal,
            store=store,
            actor=Cast(Stage(models, store, Stopwatch())),
            verifier=_MadeUpVerifier(setup.verifier),
            models=models,
            opening=lambda spec: _MadeUpModel(tokens),
            folder=folder,
            decoding=Decoding(max_tokens=max(tokens, setup.max_tokens)),
            listener=Silent(),
            incumbent=setup.policy,
            updating=_count_only,
        )
        setup.recipe.loop(Run(engine), setup.tasks.sealed(), setup.policy, setup.config)
        used = {purpose: usage for purpose, (usage, _) in engine.used.items()}
        return used.pop(Purpose.METHOD), sum(used.values(), Usage())
    finally:
        journal.close()
