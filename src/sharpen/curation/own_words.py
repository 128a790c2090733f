"""Which part of what was written stands, and which part is learnt, token for token."""

from __future__ import annotations

from collections.abc import Sequence

from sharpen.core.attempt import Attempt, Author, Stop
from sharpen.core.policy import Policy
from sharpen.core.run import Scope


def opened(scope: Scope, policy: Policy, answers: Sequence[Attempt], boundary: str) -> list[Attempt]:
    """The policy's answers as they stand before words from outside.

    An answer that has an end loses the end token; another is cut back to the last `boundary` in its last
    turn, if there is one.
    """
    parts = scope.parted(policy, answers, lambda answer: standing(answer, boundary))
    return [part.model_copy(update={"turns": part.turns[:-1]}) for part in parts]


def standing(answer: Attempt, boundary: str) -> int:
    """How many characters of its last turn stand before words from outside."""
    text = answer.turns[-1].text
    place = text.rfind(boundary) if boundary and answer.stop is Stop.LENGTH else -1
    return place if place > 0 else len(text)


def learnt_until(scope: Scope, policy: Policy, answers: Sequence[Attempt], mark: str) -> tuple[Attempt, ...]:
    """The policy's answers, of which only what comes before a mark in the last turn carries loss."""
    parts = scope.parted(policy, answers, lambda answer: len(answer.turns[-1].text.partition(mark)[0]))
    rest = [part.turns[-1].model_copy(update={"trained": False}) for part in parts]
    ends = zip(parts, rest, strict=True)
    return tuple(part.model_copy(update={"turns": (*part.turns[:-1], end)}) for part, end in ends)


def learnt_from(answer: Attempt, place: int) -> Attempt:
    """The answer with words from outside as its own; from the turn `place` on it carries loss."""
    prompt, *turns = answer.turns
    own = [
        turn.model_copy(
            update={
                "author": Author.TEACHER if turn.author is Author.TEMPLATE else turn.author,
                "trained": number >= place,
            }
        )
        for number, turn in enumerate(turns, 1)
    ]
    return answer.model_copy(update={"turns": (prompt, *own)})
