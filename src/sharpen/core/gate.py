"""The gate: compares a candidate with the incumbent on validation tasks, by a paired test."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from sharpen.core.records import Record
from sharpen.core.stats import PairedTest, paired_delta


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


class GateReport(Record):
    """A decision with its evidence."""

    decision: Decision
    reason: str
    mode: GateMode
    adopted: bool
    candidate: str
    incumbent: str
    test: PairedTest


class GateRule(Record):
    """When a candidate counts as better (or worse)."""

    mode: GateMode = GateMode.OBSERVE
    alpha: float = 0.05
    """One-sided level of the paired exact test."""
    min_coverage: float = 0.95
    """Below this share of tasks with known scores nothing is decided."""

    def decide(
        self,
        incumbent: Sequence[float | None],
        candidate: Sequence[float | None],
        *,
        versions: tuple[str, str],
    ) -> GateReport:
        """Judge aligned validation scores of (incumbent, candidate); `versions` in the same order."""
        test = paired_delta(incumbent, candidate)
        decision, reason = self._verdict(test)
        adopted = self.mode is GateMode.OBSERVE or decision is Decision.ACCEPTED
        return GateReport(
            decision=decision,
            reason=reason,
            mode=self.mode,
            adopted=adopted,
            incumbent=versions[0],
            candidate=versions[1],
            test=test,
        )

    def _verdict(self, test: PairedTest) -> tuple[Decision, str]:
        if test.coverage < self.min_coverage:
            return Decision.UNDECIDED, f"only {test.coverage:.0%} of the tasks have known scores"
        if test.p_greater <= self.alpha:
            return Decision.ACCEPTED, f"better on val, p = {test.p_greater:.3g}"
        if test.p_less <= self.alpha:
            return Decision.REJECTED, f"worse on val, p = {test.p_less:.3g}"
        return Decision.UNDECIDED, f"no clear difference on val, p = {test.p_two_sided:.3g}"
