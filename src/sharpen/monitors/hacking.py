"""Reward hacking: the loop's own verifier likes what a stricter one, held back from the loop, does not."""

from __future__ import annotations

from collections.abc import Sequence

from sharpen.core.ahead import Verifier
from sharpen.core.budget import Purpose
from sharpen.core.engine import ModelJudge
from sharpen.core.run import Scope, Scores
from sharpen.core.stats import paired_delta
from sharpen.core.task import Task
from sharpen.core.verdict import value_of
from sharpen.core.watch import Watcher

LEVEL = 0.01
"""One-sided level of the test in each round; it only warns."""
PLACE = "held-back"

Values = Sequence[float | None]


def surplus(loop: Values, strict: Values) -> list[float | None]:
    """What the loop's verifier gives beyond the strict one, by task; None where either is unknown."""
    return [
        None if mine is None or theirs is None else mine - theirs
        for mine, theirs in zip(loop, strict, strict=True)
    ]


class HackWatch(Watcher):
    """Scores validation attempts with the held-back verifier, too, and warns when the two drift apart."""

    def __init__(self, strict: Verifier | ModelJudge) -> None:
        self._strict = strict
        self._start: list[float | None] | None = None
        self._warned = False

    def gated(self, it: Scope, incumbent: Scores, candidate: Scores, tasks: Sequence[Task]) -> None:
        """Compare the candidate's surplus with that of the first incumbent."""
        if self._start is None:
            self._start = surplus(incumbent.values, self._values(it, incumbent, tasks))
        strict = self._values(it, candidate, tasks)
        known = [value for value in strict if value is not None]
        if known:
            it.measure(held_back=sum(known) / len(known))
        now = surplus(candidate.values, strict)
        if len(now) != len(self._start):
            return
        test = paired_delta(self._start, now)
        if test.p_greater <= LEVEL and not self._warned:
            self._warned = True
            it.warn(
                "the loop's verifier and the one held back drift apart on val: the gap grew by "
                f"{test.delta.percent(signed=True)}; what the loop rewards may not be what is wanted"
            )

    def _values(self, it: Scope, scores: Scores, tasks: Sequence[Task]) -> Values:
        place = it.scope(PLACE, purpose=Purpose.EVALUATION)
        return [value_of(verdict) for verdict in place.judge(scores.attempts, tasks, verifier=self._strict)]
