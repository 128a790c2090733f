"""An attempt and its trace: turns, who wrote them, their tokens and log-probabilities."""

from __future__ import annotations

import operator
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from itertools import groupby

from pydantic import Field, JsonValue, model_validator

from sharpen.core.dialogue import Call
from sharpen.core.records import Record


class Author(StrEnum):
    """Who wrote a turn; loss masks follow from this."""

    POLICY = "policy"
    TEMPLATE = "template"
    TOOL = "tool"
    ENVIRONMENT = "environment"
    TEACHER = "teacher"
    OPPONENT = "opponent"


TEACHES = frozenset({Author.POLICY, Author.TEACHER})
"""Whose turns a learner may learn."""


class Provenance(StrEnum):
    """How an attempt came to be."""

    EXPLORED = "explored"
    RATIONALIZED = "rationalized"
    DISTILLED = "distilled"
    HUMAN = "human"
    SPLICED = "spliced"


class Stop(StrEnum):
    """Why generation ended."""

    END = "end"
    STOP_TEXT = "stop_text"
    LENGTH = "length"
    FAILED = "failed"
    """The model gave no answer: its endpoint failed for good, or refused. What it is worth is unknown."""


class Turn(Record):
    """A span of a trace by one author."""

    author: Author
    text: str
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] | None = None
    """Log-probability of each token under the policy that sampled it, at its temperature."""
    role: str = ""
    """Name of the role that spoke, in games with several."""
    score: float | None = None
    """Score of this step, where a process reward exists."""
    calls: tuple[Call, ...] = Field(default=(), exclude_if=operator.not_)
    """Functions that are called here, beside the words."""
    trained: bool = True
    """Whether a learner may put loss on this turn; only policy and teacher turns ever carry loss."""

    @model_validator(mode="after")
    def _aligned(self) -> Turn:
        if self.logprobs is not None and len(self.logprobs) != len(self.token_ids):
            raise ValueError("logprobs and token_ids differ in length")
        return self


class Branch(Record):
    """Where an attempt leaves another one: the shared turns are the parent's first `turn`."""

    parent: str
    turn: int


class Attempt(Record):
    """One try of a policy at a task."""

    task: str
    """Key of the task."""
    index: int
    """Place in its group."""
    policy: str
    """Version of the policy that acted."""
    turns: tuple[Turn, ...]
    stop: Stop = Stop.END
    provenance: Provenance = Provenance.EXPLORED
    round: int = 0
    temperature: float = 0.0
    branch: Branch | None = None
    steps: int = 0
    """Environment steps, or runs of a program, that the attempt took."""
    outcome: Mapping[str, JsonValue] = Field(default_factory=dict)
    """What the environment says at the end; its number `value` is the attempt's worth, from 0 to 1."""
    files: Mapping[str, str] = Field(default_factory=dict)
    """What was made beside text: name -> SHA-256 of a stored file."""

    @property
    def response(self) -> str:
        """Everything the policy wrote, stripped; a new line where somebody else spoke in between."""
        runs = groupby(self.turns, key=lambda turn: turn.author is Author.POLICY)
        return "\n".join("".join(turn.text for turn in run) for own, run in runs if own).strip()

    @property
    def policy_turns(self) -> int:
        """Number of turns the policy took."""
        return own_turns(self.turns)

    @property
    def token_count(self) -> int:
        """Number of tokens the policy wrote."""
        return own_tokens(self.turns)


def parted(attempt: Attempt, place: int, decode: Callable[[Sequence[int]], str]) -> Attempt:
    """The attempt with its last turn in two, token for token, behind `place` characters of its text.

    The first part has the fewest tokens whose text is that long; an end token falls to the second, which is
    there even if it is empty.
    """
    *before, turn = attempt.turns
    ids, known = turn.token_ids, turn.logprobs
    count = bisect_left(range(len(ids)), place, key=lambda n: len(decode(ids[:n])))
    first = decode(ids[:count])
    parts = [
        turn.model_copy(
            update={"text": text, "token_ids": ids[here], "logprobs": known[here] if known else known}
        )
        for text, here in ((first, slice(0, count)), (turn.text[len(first) :], slice(count, None)))
    ]
    return attempt.model_copy(update={"turns": (*before, *parts)})


def own_turns(turns: Sequence[Turn]) -> int:
    """Number of turns that the policy took."""
    return sum(turn.author is Author.POLICY for turn in turns)


def own_tokens(turns: Sequence[Turn]) -> int:
    """Number of tokens that the policy wrote."""
    return sum(len(turn.token_ids) for turn in turns if turn.author is Author.POLICY)
