"""An attempt as a reward model reads it: its tokens, and the places where a score is read off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sharpen.core.attempt import TEACHES, Attempt, Author
from sharpen.learners.batch import example_from

if TYPE_CHECKING:
    from sharpen.models.hf import HFModel
    from sharpen.models.reward_head import Reading


def line_count(attempt: Attempt) -> int:
    """How many lines the policy wrote; each is a step."""
    return _written(attempt).count("\n") + 1


def line_starts(attempt: Attempt) -> tuple[str, ...]:
    """What the policy had written at the end of each line but the last, the line break included."""
    text = _written(attempt)
    return tuple(text[: place + 1] for place, sign in enumerate(text) if sign == "\n")


def read_attempt(model: HFModel, attempt: Attempt, *, steps: bool) -> Reading | None:
    """Where to read the score of the whole response (its last token), or of every line (its last token too).

    The attempt's own tokens are taken, so it must be of this model or of text. None if there is no response
    or it does not fit the model.
    """
    from sharpen.models.reward_head import Reading

    if not any(turn.author in TEACHES for turn in attempt.turns):
        return None
    example = example_from(attempt, model)
    if not example.response_ids or example.length > model.context:
        return None
    ids, start = (*example.prompt_ids, *example.response_ids), len(example.prompt_ids)
    spoken = tuple(start + offset for offset, value in enumerate(example.mask) if value > 0 < start + offset)
    ends = _line_ends(model, attempt, [(place, ids[place]) for place in spoken]) if steps else []
    return Reading(ids, (*ends, len(ids) - 1), spoken)


def _line_ends(model: HFModel, attempt: Attempt, spoken: Sequence[tuple[int, int]]) -> list[int]:
    """Places of the tokens that hold the line breaks of the policy's text, without those of a stop text."""
    breaks = [place for place, token in spoken for _ in range(model.text.texts[token].count("\n"))]
    return breaks[: line_count(attempt) - 1]


def _written(attempt: Attempt) -> str:
    return "".join(turn.text for turn in attempt.turns if turn.author is Author.POLICY)
