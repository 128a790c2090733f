"""The committed summary of a comparison; `comparison.json` holds exactly this."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from pydantic import Field, JsonValue

from sharpen.core.budget import Budget, Usage
from sharpen.core.records import Record
from sharpen.core.stats import Interval


class Role(StrEnum):
    """What an arm is in a comparison."""

    METHOD = "method"
    NO_UPDATE = "no update"
    """The start policy as it is."""
    MORE_SAMPLES = "more samples"
    """The start policy with several samples a task, as many as the work of the hungriest method pays for."""


class Standing(StrEnum):
    """What may be said of a method beside the best control."""

    ABOVE = "above"
    """Better than both controls."""
    BELOW = "below"
    """Worse than the best control."""
    UNCLEAR = "unclear"


class Point(Record):
    """A place on a method's curve: what was used so far and the validation score there, over seeds."""

    round: int
    """0 is the start policy."""
    usage: Usage
    """Of the method up to here, on average."""
    seconds: float
    """Of the method's own work up to here, on average."""
    val: Interval
    """Mean of the seeds' scores, with the interval over them where there are several."""
    seeds: int
    """How many runs got here."""


class ArmRun(Record):
    """One run of an arm."""

    seed: int
    folder: str
    """Of the run, relative to the comparison's folder."""
    score: float | None
    """On the sealed test."""
    usage: Usage
    """Of the method alone, as budgets bind it; of the answering itself for the controls."""
    seconds: float
    """Of the method's own work."""
    dollars: float | None = 0.0
    """Of the method's own work; None if no prices were given."""
    model_time_share: float
    test_tokens: int
    """Tokens drawn to answer the test tasks once."""
    stopped_by: str | None
    """The budget that ran out, if one did."""
    notes: tuple[str, ...] = ()


class ArmResult(Record):
    """An arm over all seeds."""

    name: str
    role: Role
    recipe: str
    """Empty for the controls."""
    paper: str = ""
    settings: Mapping[str, JsonValue] = Field(default_factory=dict)
    """The recipe's settings that were given, and its number of rounds."""
    score: Interval
    """On the sealed test, over seeds and tasks; 95 % for this arm alone."""
    minus_control: Interval | None = None
    """Score minus that of the best control, paired by seed and task; its level is the one at which the
    difference was tested, so it leaves zero out exactly if `standing` says so. None for controls."""
    p_value: float | None = None
    """Of that difference, corrected for the number of methods and for the pairs being tested, too: at most
    0.05 is a claim. None for controls and for a single seed."""
    standing: Standing | None = None
    """None for controls."""
    rank: int
    """1 and the number of arms that are clearly better; arms of equal rank are tied."""
    usage: Usage
    """Per run, on average."""
    seconds: float
    test_tokens: float
    share: Mapping[str, float] = Field(default_factory=dict)
    """Of every limit that is set, how much of it was used on average (1 is all of it)."""
    curve: tuple[Point, ...] = ()
    """Validation scores by round; empty for controls."""
    runs: tuple[ArmRun, ...]


class Pair(Record):
    """Two arms side by side: the first minus the second."""

    one: str
    other: str
    delta: Interval
    """Paired by seed and task, at the level at which it was tested."""
    p_value: float | None
    """Corrected for the number of pairs and for the differences to controls being tested, too: at most 0.05
    is a claim. None for a single seed."""
    clear: bool


class Comparison(Record):
    """Methods side by side: one task, one start, one budget, the same seeds, both controls."""

    task: str
    model: str
    verifier: str
    sizes: tuple[int, int, int]
    """Tasks for training, validation and the sealed test."""
    test_temperature: float
    budget: Budget
    seeds: tuple[int, ...]
    best_control: str
    """Name of the control with the higher score."""
    arms: tuple[ArmResult, ...]
    """Methods as they were given, then the controls."""
    pairs: tuple[Pair, ...]
    """All pairs of arms, in that order."""
    conclusion: str
    """What may be said, in a sentence or two."""
    notes: tuple[str, ...]
    """The first says what every method got; the others, what to beware of when reading this."""
    hardware: Mapping[str, JsonValue]
    versions: Mapping[str, str]
    command: str
    commit: str

    def arm(self, name: str) -> ArmResult:
        """The arm of that name; KeyError if there is none."""
        return {arm.name: arm for arm in self.arms}[name]
