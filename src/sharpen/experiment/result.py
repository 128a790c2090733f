"""The committed summary of a run; `result.json` holds exactly this, sealed by a hash of all its contents.

Its numbers follow from the run's journal, so a file that does not match its seal is made again from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, JsonValue
from pydantic_core import from_json

from sharpen.core.artifact import Artifact
from sharpen.core.budget import Budget, Purpose, Timing, Usage
from sharpen.core.errors import Damaged
from sharpen.core.gate import GateReport
from sharpen.core.policy import Policy
from sharpen.core.records import Record, digest
from sharpen.core.stats import Interval
from sharpen.experiment.spec import RunSpec
from sharpen.monitors.exploration import Exploration
from sharpen.monitors.flows import Flows

RESULT = "result.json"
"""Name of a result's file in the folder of its run."""


class Change(Record):
    """A number before and after; n says over how many attempts, which may differ."""

    before: Interval
    after: Interval


class TestScores(Record):
    """Scores on the sealed test split."""

    before: Interval
    after: Interval
    delta: Interval
    """Paired, after minus before."""
    p_value: float
    """Exact paired test of delta, two-sided."""
    flows: Flows
    """Tasks that went from wrong to right and back."""
    openings: int
    """How often a policy of this run was tested; more than one after a budget was raised."""
    facts: Mapping[str, Change] = {}
    """Other numbers that the environment reports, such as the rate of deals."""


class Control(Interval):
    """Test score that the same budget gives without the method."""

    after_minus: Interval
    """Paired: the method's score minus this control's."""
    samples: int
    """Samples per test task that were drawn."""
    affordable: int
    """Samples per test task that the method's budget would pay for."""
    note: str


class Controls(Record):
    """The two controls of every run."""

    no_update: Control
    more_samples: Control


class Round(Record):
    """One round as it can be read off the journal."""

    round: int
    exploration: Exploration | None
    """Of the attempts at training tasks."""
    val: Interval | None
    """Score of the policy that the round ended with."""
    gate: GateReport | None
    learner: Mapping[str, JsonValue] = Field(default_factory=dict)
    measures: Mapping[str, float] = Field(default_factory=dict)
    """The method's own numbers."""
    usage: Usage
    """Of the method, up to and including this round."""


class Spent(Record):
    """Use of resources by purpose, and the limits."""

    limits: Budget
    used: Mapping[Purpose, Usage]
    timing: Mapping[Purpose, Timing]


class Result(Record):
    """Everything that goes with a number."""

    spec: RunSpec
    recipe: str
    paper: str
    conclusion: str
    """One sentence: what may be said."""
    stopped_by: str | None
    """The budget that ran out, if one did."""
    test: TestScores
    controls: Controls
    best_on_val: str
    """Version of the policy with the best validation score."""
    policy: str
    """Version of the policy that was tested as `after`."""
    final: Policy | None = None
    """That policy, whole; none in results of versions that did not write it down."""
    parts: Mapping[str, Artifact] = Field(default_factory=dict)
    """Everything that policy is made of beside its model and prompt, by name."""
    weights: str | None
    """Stored file with its weights; None if it is the base model."""
    rounds: tuple[Round, ...]
    base_val: Interval
    budget: Spent
    wall_seconds: float
    start_seconds: float
    """Part of wall_seconds before the first step: imports, loading, checking verifiers."""
    model_time_share: float
    """Part of the time after the start that was spent inside models."""
    coverage: float
    """Share of test verdicts that are known."""
    channels: tuple[str, ...]
    notes: tuple[str, ...]
    journal_head: str
    versions: Mapping[str, str]
    hardware: Mapping[str, JsonValue]
    seal: str = ""
    """Hash of everything else in its file; empty in results of versions that did not seal them."""

    def sealed(self) -> Result:
        """The same with its seal, as it is written down."""
        return self.model_copy(update={"seal": _seal(self.model_dump_json().encode())})


def read_file(path: Path) -> Result:
    """The result that a run wrote. Damaged if it cannot be read, or if anything in it was changed since."""
    data = path.read_bytes()
    try:
        result = Result.model_validate_json(data)
        whole = result.seal in ("", _seal(data))
    except ValueError:
        raise _damaged(path, "cannot be read") from None
    if not whole:
        raise _damaged(path, "was changed after the run wrote it: it does not match its seal")
    return result


def _seal(data: bytes) -> str:
    """Hash of the values in a file, however they are laid out, but for the seal."""
    return digest({name: value for name, value in from_json(data).items() if name != "seal"})


def _damaged(path: Path, what: str) -> Damaged:
    return Damaged(f"{path} {what}", remedy=f"`sharpen resume {path.parent}` makes it again from the journal")
