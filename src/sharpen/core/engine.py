"""What the scopes of one run share: journal, store, meters, and the step that is never done twice."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from sharpen.core.ahead import Ahead, Verifier
from sharpen.core.artifact import ArtifactStore
from sharpen.core.attempt import Attempt
from sharpen.core.budget import Budget, Meter, Purpose, Timing, Usage
from sharpen.core.errors import BadInput, Mismatch
from sharpen.core.gate import GateRule, Spending
from sharpen.core.journal import Entry, Journal, Wall
from sharpen.core.past import Past
from sharpen.core.policy import GREEDY, Actor, Decoding, Policy, PromptForm, Workflow
from sharpen.core.records import decode, encode, hash_bytes
from sharpen.core.task import Task
from sharpen.core.updater import Stopwatch, Updated, Updater, Workbench, direct
from sharpen.core.verdict import Verdict
from sharpen.core.watch import Watcher


@dataclass(frozen=True)
class Judging:
    """What a judge that is a model works with."""

    models: Mapping[str, Any]
    """The run's models by the names that policies use."""
    store: ArtifactStore
    stopwatch: Stopwatch
    meter: Meter = field(default_factory=Meter)
    """Counts what the judge draws, beside its calls."""


@runtime_checkable
class ModelJudge(Protocol):
    """Judges attempts by a model of the run; see sharpen.judges."""

    @property
    def fingerprint(self) -> str:
        """Hash of the model's weights and of how they are used."""

    def judge_by(self, judging: Judging, pairs: Sequence[tuple[Task, Attempt]]) -> list[Verdict]:
        """One verdict per (task, attempt), in order; what cannot be judged gives Error, never a zero."""


@runtime_checkable
class Extracting(Protocol):
    """A verifier that can find the answer in a response."""

    def extract_many(self, responses: Sequence[str]) -> list[str | None]:
        """The canonical answer of every response, in order; None where there is none."""


@runtime_checkable
class Decoder(Protocol):
    """A model whose tokens are at hand."""

    def decode(self, ids: Sequence[int]) -> str:
        """Text of tokens, without special tokens."""


@runtime_checkable
class Formed(Protocol):
    """A model that is asked in a form of prompts of its own, as endpoints for dialogues are."""

    @property
    def form(self) -> PromptForm:
        """The form."""


@runtime_checkable
class Priced(Protocol):
    """A model that is paid for."""

    @property
    def dollars(self) -> float | None:
        """What was spent on it so far; None if that is unknown."""


class Listener(Protocol):
    """Hears of progress, to show it."""

    def progress(self, step: str, done: float, total: float, note: str) -> None:
        """Part of a step is done."""

    def finished(self, entry: Entry, wall: Wall, result: object, *, replayed: bool) -> None:
        """A row is in the journal, with this result."""


Procedure = Callable[[Any, Policy, Sequence[Task]], Sequence[Attempt]]
"""(scope, policy without the workflow, tasks) -> one attempt per task."""


class Done(NamedTuple):
    """What computing a step gave: its result, its cost, and the stored files the result refers to."""

    result: Any
    usage: Usage = Usage()
    files: tuple[str, ...] = ()


SHARED = frozenset({"attempt", "judge", "answers", "update"})
"""Verbs that depend on their place and inputs alone."""


def _no_models(spec: str) -> Any:
    raise BadInput("model", spec, "this run cannot open helper models", remedy="give the engine a way to")


@dataclass
class Engine:
    """What all scopes of one run share."""

    recipe: str
    seed: int
    journal: Journal
    store: ArtifactStore
    actor: Actor
    verifier: Verifier
    models: dict[str, Any]
    folder: Path
    listener: Listener
    decoding: Decoding = GREEDY
    test_temperature: float = 0.0
    """At which policies are scored."""
    gate: GateRule = field(default_factory=GateRule)
    spending: Spending = field(default_factory=Spending)
    """Where the sequential test of the gates stands; it follows from the reports in the journal."""
    budget: Budget = field(default_factory=Budget)
    chunk_rows: int = 256
    """Attempts per journal row; batch shapes follow from it, so it is part of a run's identity."""
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    started: float = field(default_factory=time.perf_counter)
    updating: Callable[[Updater, Workbench, Policy, Any], Updated] = direct
    repair: bool = False
    incumbent: Policy | None = None
    opening: Callable[[str], Any] = _no_models
    """Opens a helper model by its spec."""
    start: Policy | None = None
    """The policy the method starts from, where the recipe made it itself."""
    past: Past | None = None
    """A run whose model work is taken over where it is the same; its use is charged, its time is not."""
    workflows: dict[Workflow, Procedure] = field(default_factory=dict)
    """The procedures that policies of this run name."""
    watchers: Sequence[Watcher] = ()
    """They warn through the scope of what they see."""

    def __post_init__(self) -> None:
        self._timed = Timing()
        """All time that is on some row; what a step's nested steps took is on their rows, not on its own."""
        self.ahead = Ahead(self.store.get)
        self.session = uuid.uuid4().hex[:8]
        self.used: dict[Purpose, tuple[Usage, Timing]] = {p: (Usage(), Timing()) for p in Purpose}
        for row in self.journal:
            self._charge(row.entry, row.wall)

    def _charge(self, entry: Entry, wall: Wall) -> None:
        usage, timing = self.used[entry.purpose]
        spent = wall.timing
        self._timed = self._timed + spent
        self.used[entry.purpose] = (usage + entry.usage, timing + spent)

    def knows(self, key: str) -> bool:
        """Whether a step need not be computed, as far as its key tells."""
        return self.journal.get(key) is not None or bool(self.past and key in self.past)

    def step(
        self,
        key: str,
        verb: str,
        inputs: object,
        kind: Any,
        purpose: Purpose,
        compute: Callable[[], Done],
    ) -> Any:
        """Return the journaled result of a step, or compute and journal it."""
        wanted = hash_bytes(encode(inputs))
        row = self.journal.get(key)
        if row is None:
            past = self.past.take(key, wanted, self.store) if self.past and verb in SHARED else None
            if past is None:
                return self._record(key, verb, wanted, purpose, compute)
            return self._record(
                key,
                verb,
                wanted,
                purpose,
                lambda: Done(decode(kind, self.store.get(past.blob)), past.usage, past.files),
            )
        if row.entry.inputs != wanted:
            raise Mismatch(
                f"step {key} now has other inputs than when it was journaled",
                remedy="the recipe must be deterministic between verbs; start a new run with --fork",
            )
        if self.repair and not all(map(self.store.intact, (row.entry.blob, *row.entry.files))):
            self._recompute(row.entry, compute)
        result = decode(kind, self.store.get(row.entry.blob))
        self.listener.finished(row.entry, row.wall, result, replayed=True)
        return result

    def _record(self, key: str, verb: str, inputs: str, purpose: Purpose, compute: Callable[[], Done]) -> Any:
        if purpose is Purpose.METHOD:
            self.budget.check(*self.used[purpose])
        start, inner = self._clock(), self._timed
        done = compute()
        own = self._clock() - start - (self._timed - inner)
        entry = Entry(
            key=key,
            verb=verb,
            inputs=inputs,
            blob=self.store.put(encode(done.result)),
            files=done.files,
            usage=done.usage,
            purpose=purpose,
        )
        elapsed = time.perf_counter() - self.started
        wall = Wall(session=self.session, elapsed=elapsed, **dict(own))
        self.journal.append(entry, wall)
        self._charge(entry, wall)
        self.listener.finished(entry, wall, done.result, replayed=False)
        return done.result

    def _clock(self) -> Timing:
        """Time and money so far, in this process."""
        paid = [model.dollars for model in self.models.values() if isinstance(model, Priced)]
        return Timing(
            seconds=time.perf_counter(),
            model_seconds=self.stopwatch.seconds,
            dollars=None if None in paid else sum(each for each in paid if each is not None),
        )

    def _recompute(self, entry: Entry, compute: Callable[[], Done]) -> None:
        done = compute()
        if self.store.put(encode(done.result)) != entry.blob or done.files != entry.files:
            raise Mismatch(
                f"step {entry.key} gave another result than the journal says",
                remedy="restore the run from a backup or start a new run with --fork",
            )
