"""Engines: processes of a cluster that hold the run's models and make attempts, chunk by chunk.

Each opens the model once. What a policy is made of besides comes to it by content hash, when it first acts
by that policy there. An engine makes a chunk as the driver would, batch for batch, so a run has the same rows
whoever made them, on machines that compute alike.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from sharpen.actors.base import Cast, Stage, moves
from sharpen.core.ahead import Begun
from sharpen.core.artifact import ArtifactStore
from sharpen.core.attempt import Attempt
from sharpen.core.engine import Priced
from sharpen.core.errors import Mismatch
from sharpen.core.policy import Decoding, Job, Policy
from sharpen.core.records import Record
from sharpen.core.updater import Stopwatch
from sharpen.executors.hands import Hands
from sharpen.executors.pool import JudgePool
from sharpen.executors.source import open_hands
from sharpen.experiment.assemble import POLICY_MODEL, Setup
from sharpen.experiment.manifest import code_fingerprint, versions
from sharpen.models.source import open_model, priced


class Wanted(Record):
    """The model that engines open, and what must be the same there as here."""

    model: str
    threads: int | None
    dtype: str | None
    fingerprint: str
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
        store = self.cast.stage.store
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
    _same({"weights": (model.fingerprint, wanted.fingerprint)})
    return Engine(Cast(Stage(Models(model, wanted.threads), store, Stopwatch())))


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
        policies = {each.version: each for job in jobs for each in job.rivals.values()}
        policies[policy.version] = policy
        if not all(self._moves(each) for each in policies.values()):
            return None
        store = self.cast.stage.store
        files = {
            sha: store.checked_path(sha)
            for each in policies.values()
            for part in each.parts.values()
            for sha in part.files.values()
        }
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


def wanted_by(setup: Setup) -> Wanted:
    """What engines of a run must have."""
    return Wanted(
        model=priced(setup.spec.model, setup.spec.price),
        threads=setup.threads,
        dtype=setup.dtype,
        fingerprint=setup.model.fingerprint,
        code=code_fingerprint(),
        versions=versions(),
    )


def open_engines(pool: JudgePool, setup: Setup) -> Hands | None:
    """The engines that the run's executor names, with its model opened; None if it names none."""
    return open_hands(setup.spec.executor, pool, open_engine, wanted_by(setup))
