"""What is learnt of dialogues: single turns, each with what came of it, and the other side's words."""

from __future__ import annotations

from collections.abc import Sequence

from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.curation.advantages import group_advantages
from sharpen.curation.batch import Batch, Item, batch_of


def turn_by_turn(attempts: Sequence[Attempt], rewards: Sequence[float | None], *, gamma: float) -> Batch:
    """Every turn of the policy as an item of its own, with no loss on what was before it.

    A dialogue's reward counts as discounted by `gamma` for each turn but the last, so what is ahead of its
    n-th turn (from 0) is worth reward / gamma^n; the weight is that, standardised over all n-th turns.
    """
    items, turns, returns = [], list[str](), list[float | None]()
    for attempt, reward in zip(attempts, rewards, strict=True):
        own = [place for place, turn in enumerate(attempt.turns) if turn.author is Author.POLICY]
        for number, place in enumerate(own):
            before = [turn.model_copy(update={"trained": False}) for turn in attempt.turns[:place]]
            items.append(attempt.model_copy(update={"turns": (*before, attempt.turns[place])}))
            turns.append(str(number))
            returns.append(None if reward is None else reward / gamma**number)
    weights = group_advantages(turns, returns)
    return Batch(items=tuple(Item(attempt=a, weight=w) for a, w in zip(items, weights, strict=True)))


def others_words(attempts: Sequence[Attempt]) -> Batch:
    """The dialogues with loss on what the environment said in them, and on nothing else."""
    moved = [attempt.model_copy(update={"turns": tuple(map(_turned, attempt.turns))}) for attempt in attempts]
    return batch_of(a for a in moved if any(turn.author is Author.TEACHER for turn in a.turns))


def _turned(turn: Turn) -> Turn:
    if turn.author is Author.ENVIRONMENT:
        return turn.model_copy(update={"author": Author.TEACHER})
    return turn.model_copy(update={"trained": False})
