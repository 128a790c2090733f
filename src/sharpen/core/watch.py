"""Watchers look on while a run works, and warn of what would deceive its reader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from sharpen.core.attempt import Attempt
from sharpen.core.policy import Policy
from sharpen.core.task import Task
from sharpen.core.verdict import Verdict

if TYPE_CHECKING:
    from sharpen.core.run import Scope, Scores


class Judged(NamedTuple):
    """What one call of the verb `judge` saw and said."""

    attempts: Sequence[Attempt]
    verdicts: Sequence[Verdict]
    tasks: Sequence[Task]


class Watcher:
    """Is told what happens, in the order of the run, and may warn through the scope; it changes nothing.

    A run that is resumed tells it all again, so it may remember what it saw, and nothing else.
    """

    def attempted(self, it: Scope, tasks: Sequence[Task]) -> None:
        """The method has tried these tasks."""

    def updated(self, it: Scope, policy: Policy) -> None:
        """The method has made this policy."""

    def gated(self, it: Scope, incumbent: Scores, candidate: Scores, tasks: Sequence[Task]) -> None:
        """Both were scored on validation tasks."""

    def round_ended(self, it: Scope, judged: Sequence[Judged]) -> None:
        """A round of the outermost loop is over; this was judged in it."""
