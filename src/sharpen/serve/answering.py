"""Answering several requests in one go, by the same policy, actor and workflow that a run would use.

A seed and a question decide the answer, whoever else asks at the same time: seeds of samples hang on both,
and a sampled row depends on nothing but its prompt, seed and decoding. Rounding may differ by the shape of a
batch, which shows only where two tokens are as good as equally likely.
"""

from __future__ import annotations

import shutil
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.dialogue import FREE, Shape
from sharpen.core.engine import Engine
from sharpen.core.journal import Entry, Journal, Wall
from sharpen.core.policy import Decoding, Job
from sharpen.core.run import Run
from sharpen.core.seeds import seed_for
from sharpen.core.task import Task
from sharpen.serve.schemas import Form
from sharpen.serve.served import Served

_PLACE = "serve"


@dataclass(frozen=True)
class Asked:
    """One request: a dialogue to be answered, or plain text to be continued."""

    task: Task
    decoding: Decoding
    seed: int
    samples: int = 1
    raw: str = ""
    shape: Shape = FREE
    """Functions that may or must be called, and a schema for models that can be held to one."""
    form: Form | None = None
    """What the reply is held against before it is sent."""
    one_call: bool = False
    """Whether a reply may hold one call alone."""
    free: bool = False
    """Whether the seed was drawn for want of one, so that any other would do."""
    hear: Callable[[int, int], None] | None = None
    """Hears each token as it is drawn, with the number of its sample; where tokens are at hand."""


class Lane(NamedTuple):
    """Requests of one lane can be answered together."""

    decoding: Decoding
    raw: bool
    seed: int | None
    samples: int | None


def lane_of(served: Served, asked: Asked) -> Lane:
    """The lane of a request: a workflow answers all questions of a call by one seed."""
    if served.workflow is None:
        return Lane(asked.decoding, bool(asked.raw), None, None)
    return Lane(asked.decoding, False, None if asked.free else asked.seed, asked.samples)


def repeats(served: Served, taken: Sequence[Asked], asked: Asked) -> bool:
    """Whether a request would share chance with an equal one, though neither named a seed."""
    shares = served.workflow is not None and asked.free
    return shares and any(asked.task.key == other.task.key for other in taken)


@runtime_checkable
class Telling(Protocol):
    """A model that tells of every token as it is drawn."""

    hear: Callable[[Sequence[int], Sequence[int]], None] | None


def answer(served: Served, batch: Sequence[Asked]) -> list[tuple[Attempt, ...]]:
    """The samples of every request of one lane, in order."""
    return _by_workflow(served, batch) if served.workflow is not None else _at_once(served, batch)


def _seeds(asked: Asked) -> list[int]:
    return [seed_for(_PLACE, asked.seed, asked.task.key, index) for index in range(asked.samples)]


def _at_once(served: Served, batch: Sequence[Asked]) -> list[tuple[Attempt, ...]]:
    """All samples of all requests in one call of the policy's actor."""
    jobs = [
        Job(asked.task, index, seed, trace=_trace(asked), shape=asked.shape)
        for asked in batch
        for index, seed in enumerate(_seeds(asked))
    ]
    model = served.model
    if isinstance(model, Telling):
        model.hear = _router(batch)
    try:
        attempts = iter(served.cast.act(served.policy, jobs, batch[0].decoding))
    finally:
        if isinstance(model, Telling):
            model.hear = None
    return [tuple(next(attempts) for _ in range(asked.samples)) for asked in batch]


def _trace(asked: Asked) -> tuple[Turn, ...]:
    return (Turn(author=Author.TEMPLATE, text=asked.raw),) if asked.raw else ()


def _router(batch: Sequence[Asked]) -> Callable[[Sequence[int], Sequence[int]], None] | None:
    """Brings every token to the requests that wait for it; none if nobody does."""
    waiting: dict[int, list[tuple[Callable[[int, int], None], int]]] = defaultdict(list)
    for asked in batch:
        if asked.hear is not None:
            for index, seed in enumerate(_seeds(asked)):
                waiting[seed].append((asked.hear, index))

    def hear(seeds: Sequence[int], tokens: Sequence[int]) -> None:
        # Equal requests have equal seeds: each seed is told of once, to all of them.
        for seed, token in dict(zip(seeds, tokens, strict=True)).items():
            for tell, index in waiting.get(seed, ()):
                tell(index, token)

    return hear if waiting else None


class _Silent:
    def progress(self, step: str, done: float, total: float, note: str) -> None:
        """Nobody watches."""

    def finished(self, entry: Entry, wall: Wall, result: object, *, replayed: bool) -> None:
        """Nobody watches."""


def _by_workflow(served: Served, batch: Sequence[Asked]) -> list[tuple[Attempt, ...]]:
    """The workflow on all questions at once, in a journal of its own that is thrown away."""
    assert served.policy.workflow is not None and served.workflow is not None
    tasks = {asked.task.key: asked.task for asked in batch}
    folder = served.scratch / uuid.uuid4().hex
    samples = batch[0].samples
    try:
        with closing(Journal(folder)) as journal:
            engine = Engine(
                recipe=served.recipe,
                seed=batch[0].seed,
                journal=journal,
                store=served.store,
                actor=served.cast,
                verifier=served.verifier,
                models=served.models,
                folder=folder,
                listener=_Silent(),
                decoding=batch[0].decoding,
                opening=served.opening,
                workflows={served.policy.workflow: served.workflow},
            )
            attempts = Run(engine).attempt(served.policy, list(tasks.values()), samples=samples)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    groups = {key: attempts[i * samples : (i + 1) * samples] for i, key in enumerate(tasks)}
    return [groups[asked.task.key] for asked in batch]
