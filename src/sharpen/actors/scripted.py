"""Episodes that the environment's own player plays: demonstrations of how to move, not of what is right.

The moves count as a teacher's, so a learner may put loss on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sharpen.actors.base import Stage
from sharpen.actors.episodes import Episode, begin, closed, memory_of
from sharpen.core.attempt import Attempt, Author, Stop
from sharpen.core.policy import Decoding, Job, Policy
from sharpen.models.base import Completion


def open_actor(stage: Stage) -> Scripted:
    """The actor, on this stage."""
    return Scripted(stage)


@dataclass(frozen=True)
class Scripted:
    """Records the own player's moves in the policy's prompt form; draws nothing from a model."""

    stage: Stage

    def act(self, policy: Policy, jobs: Sequence[Job], decoding: Decoding) -> list[Attempt]:
        """One attempt per job, in order."""
        memory = memory_of(self.stage, policy)
        return [played(begin(policy, job, decoding, memory), policy, decoding) for job in jobs]


def played(episode: Episode, policy: Policy, decoding: Decoding) -> Attempt:
    """Let the environment's own player make every move."""
    while (found := episode.next_seat()) is not None:
        role, seat = found
        view = episode.world.view()
        assert view is not None
        seat.show(None, view.text)
        move = Completion(f" {episode.world.scripted(role)}", (), None, Stop.END)
        episode.move(seat.say(move, role, Author.TEACHER))
    return closed(policy, episode, decoding)
