"""Where a run stands, from what its listener hears: round, score, budget left, time left, warnings."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from sharpen.core.budget import Budget, Purpose, Timing, Usage
from sharpen.core.journal import Entry, Row, Wall
from sharpen.core.stats import Interval, mean_interval
from sharpen.core.verdict import Verdict, value_of
from sharpen.experiment.manifest import Manifest

_ROUND = re.compile(r"round\.(\d+)/")
_VAL = re.compile(r"evaluate/val(?:/[^/]+)?/([0-9a-f]{16})/judge/\d+$")
_COUNTS = ("iterations", "rounds")
"""Settings that say how many rounds there will be, in recipes that have one of them."""


class Standing:
    """Adds up finished steps."""

    def __init__(self, limits: Budget | None = None, begun: Iterable[Row] = ()) -> None:
        """`limits` stand in the place of those in the run's manifest, if they are given.

        `begun` are the rows of a run that goes on: when it walks through them again, a listener hears nothing
        of what was nested in a finished step.
        """
        self.round = 0
        self.rounds: int | None = None
        self.warnings: list[str] = []
        self._limits = limits
        self._values: dict[str, list[float]] = defaultdict(list)
        self._count(begun)

    def _count(self, rows: Iterable[Row]) -> None:
        """Begin to count anew, with these rows."""
        self._used, self._timing = Usage(), Timing()
        self._seconds: dict[int, float] = defaultdict(float)
        for row in rows:
            self._charge(row.entry, row.wall)

    def _charge(self, entry: Entry, wall: Wall) -> None:
        if entry.purpose is Purpose.METHOD:
            self._used = self._used + entry.usage
            self._timing = self._timing + wall.timing
        # What is done between rounds, or around them, counts for the one before.
        self._seconds[_round_of(entry) or max(self._seconds, default=0)] += wall.seconds

    def hear(self, entry: Entry, wall: Wall, result: object, *, replayed: bool) -> bool:
        """Take a finished step in; return whether it is the first of a round."""
        match result:
            case Manifest():
                self._begin(result, new=not replayed)
            case tuple() if found := _VAL.match(entry.key):
                self._values[found[1]] += _known(result)
        if entry.verb == "warn":
            self.warnings.append(str(result))
        if not replayed:
            self._charge(entry, wall)
        before, self.round = self.round, max(self.round, _round_of(entry))
        return self.round > before

    def _begin(self, manifest: Manifest, *, new: bool) -> None:
        if new:
            self._count(())
        self._limits = self._limits or manifest.spec.budget
        config = manifest.identity.get("config")
        counts = [config.get(name) for name in _COUNTS] if isinstance(config, dict) else []
        self.rounds = next((count for count in counts if isinstance(count, int)), None)

    @property
    def place(self) -> str:
        """`round 2 of 8`; empty before the first."""
        if not self.round:
            return ""
        if self.rounds is None:
            return f"round {self.round}"
        return f"round {self.round} of {self.rounds}" if self.round <= self.rounds else "after the rounds"

    @property
    def score(self) -> Interval | None:
        """On validation tasks, of the policy that was measured last."""
        return mean_interval(self._values[next(reversed(self._values))]) if self._values else None

    @property
    def seconds_left(self) -> float | None:
        """For the rounds to come, if they take as long as those that are over; None before one is."""
        over = self.round - 1
        if over < 1 or self.rounds is None or self.rounds < self.round:
            return None
        each = sum(self._seconds[number] for number in range(1, self.round)) / over
        return max(0.0, each * (self.rounds - over) - self._seconds[self.round])

    @property
    def time_left(self) -> str:
        """`about 3 min to go`; empty where it is not known."""
        left = self.seconds_left
        return "" if left is None else f"about {duration(left)} to go"

    @property
    def budget(self) -> str:
        """What is left of every limit that is set; empty without limits."""
        limits = (self._limits or Budget()).model_dump(exclude_none=True)
        timing = self._timing
        used = {**self._used.model_dump(), "seconds": timing.seconds, "dollars": timing.dollars or 0.0}
        return ", ".join(
            f"{_amount(max(0.0, limit - used[meter]))} of {_amount(limit)} {meter.replace('_', ' ')} left"
            for meter, limit in limits.items()
        )

    def lines(self) -> Iterator[tuple[str, str]]:
        """Names and texts of what is known."""
        if self.place:
            yield "round", ", ".join(filter(None, (self.place.removeprefix("round "), self.time_left)))
        if (score := self.score) is not None:
            yield "val score", score.percent()
        if self.budget:
            yield "budget", self.budget
        if self.warnings:
            more = f" ({len(self.warnings)} warnings)" if len(self.warnings) > 1 else ""
            yield "warning", self.warnings[-1] + more


def _amount(number: float) -> str:
    """A whole number, or with cents where it is small."""
    return f"{number:,.0f}" if number >= 100 or number == int(number) else f"{number:,.2f}"


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _round_of(entry: Entry) -> int:
    """0 for what stands in no round."""
    found = _ROUND.match(entry.key)
    return int(found[1]) if found else 0


def _known(verdicts: tuple[Verdict, ...]) -> list[float]:
    return [value for verdict in verdicts if (value := value_of(verdict)) is not None]
