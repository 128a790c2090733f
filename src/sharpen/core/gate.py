"""The gate: compares a candidate with the incumbent on validation tasks, by a sequential test over the run.

A run asks again and again whether its newest candidate is better, always on the same tasks; at 5 % a time,
twenty rounds without any gain could end in a false acceptance two times in three. So one level, `alpha`, is
spent over all comparisons of a run, by the online fallback procedure (Tian and Ramdas, "Online control of the
familywise error rate", arXiv 1910.04900): the k-th comparison is made at

    level_k = alpha / (k (k + 1)) + (level_(k-1) if the last candidate was accepted, else 0).

The first terms sum to alpha over any number of rounds, which need not be known; what an acceptance was tested
at is handed on, so a run that keeps getting better is tested at nearly the whole of alpha. The chance of ever
accepting a candidate that is no improvement is at most alpha, however the comparisons hang together, if each
p-value is valid (`stats.no_gain`: exact for 0/1 scores, betting for graded ones, no shape assumed).

Limits. That is exact until the first true acceptance. From then on an incumbent has been chosen by the same
tasks that judge the next candidate; its luck is in its score, so that candidates have a harder time, not an
easier one. Tasks count as independent. Power: the first comparison is made at alpha / 2, the tenth without an
acceptance at alpha / 110; docs/durability.md says which gains are found with how many tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from pydantic import Field

from sharpen.core.records import Record
from sharpen.core.stats import PairedTest, no_gain, paired_delta


class GateMode(StrEnum):
    """What a gate's decision does."""

    OBSERVE = "observe"
    """Measure and adopt every candidate, as papers without a gate do."""
    ENFORCE = "enforce"
    """Adopt only accepted candidates."""


class Decision(StrEnum):
    """What the evidence says of a candidate."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNDECIDED = "undecided"


class Spending(Record):
    """Where the sequential test of a run stands."""

    compared: int = 0
    """Comparisons made so far."""
    carried: float = 0.0
    """Level of the last comparison, if it ended in an acceptance; else 0."""

    def level(self, alpha: float) -> float:
        """Level of the next comparison."""
        nth = self.compared + 1
        return alpha / (nth * (nth + 1)) + self.carried

    def after(self, level: float, *, accepted: bool) -> Spending:
        """Where it stands after a comparison at this level."""
        return Spending(compared=self.compared + 1, carried=level if accepted else 0.0)


UNSPENT = Spending()


class GateReport(Record):
    """A decision with its evidence."""

    decision: Decision
    reason: str
    mode: GateMode
    adopted: bool
    candidate: str
    incumbent: str
    test: PairedTest
    p_value: float | None = None
    """Chance of such scores if the candidate were no better; None if nothing was compared."""
    level: float | None = None
    """What the p-value had to reach."""
    spending: Spending = UNSPENT
    """Where the run's sequential test stands after this."""


class _Verdict(NamedTuple):
    decision: Decision
    reason: str
    p_value: float | None = None


class GateRule(Record):
    """When a candidate counts as better (or worse)."""

    mode: GateMode = GateMode.OBSERVE
    alpha: float = Field(default=0.05, gt=0, lt=1)
    """Highest chance that a run ever accepts a candidate that is no improvement."""
    min_coverage: float = 0.95
    """Below this share of tasks with known scores nothing is decided."""

    def decide(
        self,
        incumbent: Sequence[float | None],
        candidate: Sequence[float | None],
        *,
        versions: tuple[str, str],
        spent: Spending = UNSPENT,
    ) -> GateReport:
        """Judge aligned validation scores of (incumbent, candidate); `versions` in the same order.

        What cannot be compared (too few known scores, scores outside 0 to 1, the same policy) spends nothing.
        """
        test, level = paired_delta(incumbent, candidate), spent.level(self.alpha)
        same = versions[0] == versions[1]
        known = [(b, a) for b, a in zip(incumbent, candidate, strict=True) if b is not None and a is not None]
        found = self._refusal(test, known, same=same) or self._compared(test, known, level)
        accepted = found.decision is Decision.ACCEPTED
        compared = found.p_value is not None
        return GateReport(
            decision=found.decision,
            reason=found.reason,
            mode=self.mode,
            adopted=self.mode is GateMode.OBSERVE or accepted,
            incumbent=versions[0],
            candidate=versions[1],
            test=test,
            p_value=found.p_value,
            level=level if compared else None,
            spending=spent.after(level, accepted=accepted) if compared else spent,
        )

    def _refusal(
        self, test: PairedTest, known: Sequence[tuple[float, float]], *, same: bool
    ) -> _Verdict | None:
        if same:
            return _Verdict(Decision.UNDECIDED, "the candidate is the incumbent")
        if test.coverage < self.min_coverage:
            return _Verdict(Decision.UNDECIDED, f"only {test.coverage:.0%} of the tasks have known scores")
        if not all(0 <= score <= 1 for pair in known for score in pair):
            return _Verdict(Decision.UNDECIDED, "scores outside 0 to 1 cannot be tested")
        return None

    def _compared(self, test: PairedTest, known: Sequence[tuple[float, float]], level: float) -> _Verdict:
        p = no_gain([b for b, _ in known], [a for _, a in known])
        if p <= level:
            return _Verdict(Decision.ACCEPTED, f"better on val, p = {p:.3g} (level {level:.3g})", p)
        if test.p_less <= self.alpha:
            return _Verdict(Decision.REJECTED, f"worse on val, p = {test.p_less:.3g}", p)
        return _Verdict(Decision.UNDECIDED, f"no clear gain on val, p = {p:.3g} (level {level:.3g})", p)
