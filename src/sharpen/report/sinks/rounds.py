"""The numbers of rounds, read off a journal row by row, while it grows."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sharpen.core.budget import Purpose, Timing, Usage
from sharpen.core.gate import GateReport
from sharpen.core.journal import Row
from sharpen.core.records import decode
from sharpen.core.updater import Updated
from sharpen.core.verdict import Verdict, value_of

_ROUND = re.compile(r"round\.(\d+)/")
_STEP = re.compile(r"round\.\d+/(judge|gate|update|measure)(?:~\d+)?(?:/\d+)?$")
_VAL = "evaluate/val/"


class Numbers(NamedTuple):
    """What is known of a round."""

    round: int
    values: Mapping[str, float]


class Rounds:
    """Takes the rows of a run in order and gives the numbers of every round that is over."""

    def __init__(self, read: Callable[[str], bytes]) -> None:
        """`read` gives the bytes of a stored file by its hash."""
        self._read = read
        self._round = 0
        self._values: dict[str, float] = {}
        self._right: list[float] = []
        self._val: dict[str, list[float]] = defaultdict(list)
        self._usage, self._timing = Usage(), Timing()

    def add(self, row: Row) -> Iterator[Numbers]:
        """The round that ends before this row, if one does."""
        entry = row.entry
        place = _ROUND.match(entry.key)
        if (place and int(place[1]) != self._round) or entry.verb == "unseal":
            yield from self.rest()
            self._round = int(place[1]) if place else 0
        if entry.purpose is Purpose.METHOD:
            self._usage = self._usage + entry.usage
            self._timing = self._timing + Timing(seconds=row.wall.seconds)
        if entry.key.startswith(_VAL) and entry.verb == "judge":
            self._val[entry.key.split("/")[2]] += _known(decode(tuple[Verdict, ...], self._read(entry.blob)))
        elif step := _STEP.match(entry.key):
            self._take(step[1], self._read(entry.blob))

    def rest(self) -> Iterator[Numbers]:
        """The round that is under way, as if it were over."""
        if self._round:
            if self._right:
                self._values["train/right"] = _mean(self._right)
            spent = {**self._usage.model_dump(), "seconds": self._timing.seconds}
            self._values |= {f"budget/{meter}": float(used) for meter, used in spent.items()}
            yield Numbers(self._round, self._values)
        self._round, self._values, self._right = 0, {}, []

    def _take(self, verb: str, data: bytes) -> None:
        match verb:
            case "judge":
                self._right += _known(decode(tuple[Verdict, ...], data))
            case "gate":
                report: GateReport = decode(GateReport, data)
                known = self._val[report.candidate if report.adopted else report.incumbent]
                self._values |= {"val/score": _mean(known)} if known else {}
            case "update":
                updated: Updated = decode(Updated, data)
                self._values |= {f"learner/{name}": value for name, value in _learned(updated.report)}
            case "measure":
                own: dict[str, float] = decode(dict[str, float], data)
                self._values |= {f"own/{name}": value for name, value in own.items()}


def _known(verdicts: Sequence[Verdict]) -> list[float]:
    return [value for value in map(value_of, verdicts) if value is not None]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _learned(report: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The numbers of a learner's report; of a list of losses its ends."""
    losses = report.get("losses")
    if isinstance(losses, list | tuple) and losses:
        yield from (("first loss", float(losses[0])), ("last loss", float(losses[-1])))
    for name, value in report.items():
        if isinstance(value, int | float):
            yield name, float(value)
