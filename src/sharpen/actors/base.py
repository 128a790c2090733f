"""What an actor is: one module here, found by its file name, that defines `open_actor(stage) -> Actor`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sharpen.core import plugins
from sharpen.core.artifact import ArtifactStore
from sharpen.core.attempt import Attempt
from sharpen.core.errors import BadInput
from sharpen.core.policy import Actor, Decoding, Job, Policy
from sharpen.core.task import SINGLE_TURN
from sharpen.core.updater import Stopwatch

PACKAGE = "sharpen.actors"


@dataclass(frozen=True)
class Stage:
    """What every actor works with."""

    models: Mapping[str, Any]
    """The run's models by the names that policies use."""
    store: ArtifactStore
    stopwatch: Stopwatch
    """Counts the time inside models."""


@dataclass(frozen=True)
class Cast:
    """Lets every policy act through the actor it names; actors are opened on first need."""

    stage: Stage
    opened: dict[str, Actor] = field(default_factory=dict)

    def act(self, policy: Policy, jobs: Sequence[Job], decoding: Decoding) -> list[Attempt]:
        """One attempt per job, in order."""
        if policy.actor != SINGLE_TURN and any(job.task.pictures for job in jobs):
            raise BadInput("actor", policy.actor, "shows no pictures", remedy="answer in one turn")
        return self.actor(policy).act(policy, jobs, decoding)

    def actor(self, policy: Policy) -> Actor:
        """The actor that the policy names."""
        if policy.actor not in self.opened:
            module: Any = plugins.load(PACKAGE, policy.actor, kind="actor", defines="open_actor")
            self.opened[policy.actor] = module.open_actor(self.stage)
        return self.opened[policy.actor]


def moves(actor: Actor) -> bool:
    """Whether it may act on another machine: a class says `moves = True` whose work is that of a model."""
    return getattr(actor, "moves", False) is True
