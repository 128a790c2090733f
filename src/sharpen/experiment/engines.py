"""Engines: processes of a cluster that hold the run's models and make attempts, chunk by chunk.

Each opens the model once. What a policy is made of besides comes to it by content hash, when it first acts
by that policy there. An engine makes a chunk as the driver would, batch for batch, so a run has the same rows
whoever made them, on machines that compute alike.
"""

from __future__ import annotations

import platform
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from sharpen.actors.base import Cast, Stage, moves
from sharpen.core.ahead import Begun
from sharpen.core.artifact import Artifact, ArtifactStore
from sharpen.core.attempt import Attempt
from sharpen.core.engine import Priced
from sharpen.core.errors import BadInput, Mismatch
from sharpen.core.policy import Actor, Decoding, Job, Policy
from sharpen.core.records import Record
from sharpen.core.updater import Stopwatch
from sharpen.executors.hands import Hands
from sharpen.executors.pool import JudgePool
from sharpen.executors.source import engines_in, open_hands
from sharpen.experiment.assemble import POLICY_MODEL
from sharpen.experiment.manifest import code_fingerprint, versions
from sharpen.experiment.spec import Request
from sharpen.models.base import Model
from sharpen.models.loading import WEIGHTS_FILE
from sharpen.models.source import open_model, priced

_GPU = "cuda"


class Wanted(Record):
    """The model that engines open, and what must be the same there as here."""

    model: str
    threads: int | None
    dtype: str | None
    fingerprint: str
    device: str
    """Kind of device that it computes on here; empty for a model that does not compute."""
    code: str
    versions: Mapping[str, str]


class Order(NamedTuple):
    """A chunk of attempts."""

    policy: Policy
    jobs: Sequence[Job]
    decoding: Decoding


class Made(NamedTuple):
    """An attempt and the files that it names, by their hashes."""

    attempt: Attempt
    files: Mapping[str, bytes]


class Models(dict[str, Any]):
    """The run's models on an engine: helpers are opened when they are first asked for."""

    def __init__(self, policy_model: object, threads: int | None) -> None:
        """`policy_model` is the one that the run improves."""
        super().__init__({POLICY_MODEL: policy_model})
        self._threads = threads

    def __missing__(self, spec: str) -> Any:
        self[spec] = open_model(spec, threads=self._threads)
        return self[spec]


@dataclass(frozen=True)
class Engine:
    """What lives in an engine's process."""

    cast: Cast

    def __call__(self, order: Order) -> list[Made]:
        """Make a chunk."""
        store, models = self.cast.stage.store, self.cast.stage.models
        players = players_of(order.policy, order.jobs)
        _same({f"model {each.model}": (models[each.model].fingerprint, each.base) for each in players})
        return [
            Made(attempt, {sha: store.get(sha) for sha in attempt.files.values()})
            for attempt in self.cast.act(order.policy, order.jobs, order.decoding)
        ]


def open_engine(store: ArtifactStore, wanted: Wanted) -> Engine:
    """On a node; Mismatch if code, packages or weights are not those of the driver."""
    here = {"code": code_fingerprint(), **versions()}
    there = {"code": wanted.code, **wanted.versions}
    _same({name: (value, there[name]) for name, value in here.items()})
    model = open_model(wanted.model, threads=wanted.threads, dtype=wanted.dtype)
    _same({f"model {wanted.model}": (model.fingerprint, wanted.fingerprint)})
    if wanted.device == _GPU != _device(model):
        raise BadInput(
            "gpus",
            0,
            f"node {platform.node()} gives an engine no GPU, and the driver has one",
            remedy="gpus=1",
        )
    return Engine(Cast(Stage(Models(model, wanted.threads), store, Stopwatch())))


def players_of(policy: Policy, jobs: Sequence[Job]) -> list[Policy]:
    """The policy and its rivals in these jobs, each once."""
    rivals = {each.version: each for job in jobs for each in job.rivals.values()}
    return list({**rivals, policy.version: policy}.values())


def _same(pairs: Mapping[str, tuple[str, str]]) -> None:
    other = [f"{name}: {here!r}, here {there!r}" for name, (here, there) in pairs.items() if here != there]
    if other:
        raise Mismatch(
            f"node {platform.node()} has something else than this machine: {'; '.join(other)}",
            remedy="install the same on every node",
        )


@dataclass(frozen=True)
class Engines:
    """The actor of a run whose attempts are made by engines; what they cannot do, its cast does."""

    cast: Cast
    hands: Hands

    @property
    def width(self) -> int:
        """One chunk for every engine, and one that waits at each."""
        return 2 * self.hands.count

    def act(self, policy: Policy, jobs: Sequence[Job], decoding: Decoding) -> list[Attempt]:
        """One attempt per job, in order."""
        begun = self.begin(policy, jobs, decoding)
        return begun.results() if begun else self.cast.act(policy, jobs, decoding)

    def begin(self, policy: Policy, jobs: Sequence[Job], decoding: Decoding) -> Begun[Attempt] | None:
        """Have an engine make them; None if actor or model must be asked from here."""
        players = players_of(policy, jobs)
        if not all(self._moves(each) for each in players):
            return None
        store = self.cast.stage.store
        wanted = {sha for each in players for part in each.parts.values() for sha in _needed(part)}
        files = {sha: store.checked_path(sha) for sha in sorted(wanted)}
        begun = self.hands.begin(Order(policy, jobs, decoding), files)
        return Begun(partial(self._taken, begun), begun.drop)

    def _moves(self, policy: Policy) -> bool:
        """Whether it is a model of ours that does the work, and not somebody's who is paid."""
        paid = isinstance(self.cast.stage.models[policy.model], Priced)
        return not paid and moves(self.cast.actor(policy))

    def _taken(self, begun: Begun[Made]) -> list[Attempt]:
        with self.cast.stage.stopwatch:
            made = begun.results()
        for one in made:
            for data in one.files.values():
                self.cast.stage.store.put(data)
        return [one.attempt for one in made]


def _needed(part: Artifact) -> Collection[str]:
    """What of a part serves acting: weights without what a learner keeps beside them."""
    weights = part.files.get(WEIGHTS_FILE)
    return (weights,) if weights else part.files.values()


def _device(model: Model) -> str:
    return str(getattr(getattr(model, "module", None), "device", "")).partition(":")[0]


def wanted_by(request: Request, model: Model) -> Wanted:
    """What engines must have to stand for the model as it was opened here."""
    return Wanted(
        model=priced(request.model, request.price),
        threads=getattr(model, "threads", None),
        dtype=getattr(model, "dtype", None),
        fingerprint=model.fingerprint,
        device=_device(model),
        code=code_fingerprint(),
        versions=versions(),
    )


def open_engines(request: Request, pool: JudgePool, model: Model) -> Hands | None:
    """The engines that the request's executor names, with the model opened; None if it names none."""
    if not engines_in(request.executor):
        return None
    if isinstance(model, Priced):
        raise BadInput(
            "engines",
            request.executor,
            f"{model.name} is asked in parallel from here",
            remedy="leave them out",
        )
    return open_hands(request.executor, pool, open_engine, wanted_by(request, model))


def led(cast: Cast, hands: Hands | None) -> Actor:
    """What makes attempts: the engines, where there are some."""
    return Engines(cast, hands) if hands else cast
