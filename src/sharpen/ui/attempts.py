"""Pages of attempts, and the trace of one: bounded in what is read and in what is sent."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from enum import StrEnum
from itertools import islice

from pydantic import JsonValue

from sharpen.core.attempt import Attempt, Author, Branch, Provenance, Stop, Turn
from sharpen.core.errors import BadInput
from sharpen.core.records import Record
from sharpen.core.tail import Numbered
from sharpen.core.verdict import Error, Rejected, Scored, Verdict
from sharpen.ui.pairing import Pairing
from sharpen.ui.tokens import token_texts
from sharpen.ui.watching import Watch

PAGE = 50
"""Attempts of a page."""
_ROWS = 200
"""Journal rows that are fetched at a time."""
_SECONDS = 0.4
"""For how long a page may go on looking; it is then shorter, and the next one goes on from there."""
PIECE = 16_000
"""Characters of a turn that are sent at a time."""
TOKENS = 4_000
"""Tokens of a turn that are sent."""
_START = 160


class Outcome(StrEnum):
    """What a verdict says, in one word."""

    RIGHT = "right"
    """A score of 1."""
    PART = "part"
    """A score between 0 and 1, or beyond."""
    WRONG = "wrong"
    """A score of 0."""
    REJECTED = "rejected"
    ERROR = "error"
    UNKNOWN = "unknown"
    """Not judged, or not yet."""


class Line(Record):
    """An attempt in a list."""

    row: int
    place: int
    """Place in its row."""
    step: str
    task: str
    index: int
    round: int
    policy: str
    temperature: float
    tokens: int
    stop: Stop
    outcome: Outcome
    value: float | None
    start: str
    """The first words of the response."""


class Page(Record):
    """Some attempts, the newest rows first, and where to go on."""

    items: tuple[Line, ...]
    row: int | None
    """Row at which the next page begins; None at the end."""
    place: int


class Piece(Record):
    """A part of a text."""

    text: str
    begin: int
    total: int
    """Characters of the whole text."""


class ShownTurn(Record):
    """A turn of a trace; of a long one the beginning."""

    author: Author
    role: str
    score: float | None
    trained: bool
    text: Piece
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...] | None
    token_texts: tuple[str, ...] | None
    """What they say; None for a model whose tokenizer is not at hand."""
    tokens: int
    """How many there are in all."""


class Trace(Record):
    """One attempt, whole but for long turns."""

    line: Line
    turns: tuple[ShownTurn, ...]
    provenance: Provenance
    branch: Branch | None
    steps: int
    told: Mapping[str, JsonValue]
    """What the environment said at the end."""
    files: Mapping[str, str]
    verdict: Verdict | None


def page(watch: Watch, pairing: Pairing, task: str, outcome: Outcome | None, row: int, place: int) -> Page:
    """Attempts at tasks whose keys begin with `task`, from a place in a row on and then older ones.

    `row` 0 stands for the newest. A page has at most `PAGE` attempts, and fewer if few fit.
    """
    found: list[Line] = []
    until = time.monotonic() + _SECONDS
    begin = row or watch.tail.last()
    for at in _rows_down(watch, begin):
        skip = place if at.seq == begin else 0
        lines = islice(lines_of(at, pairing), skip, None) if at.entry.verb == "attempt" else ()
        for number, line in enumerate(lines, skip):
            if line.task.startswith(task) and outcome in (None, line.outcome):
                if len(found) == PAGE:
                    return Page(items=tuple(found), row=at.seq, place=number)
                found.append(line)
        if time.monotonic() > until and at.seq > 1:
            return Page(items=tuple(found), row=at.seq - 1, place=0)
    return Page(items=tuple(found), row=None, place=0)


def _rows_down(watch: Watch, seq: int) -> Iterator[Numbered]:
    while rows := watch.tail.before(seq + 1, _ROWS):
        yield from rows
        seq = rows[-1].seq - 1


def lines_of(row: Numbered, pairing: Pairing) -> Iterator[Line]:
    """The attempts of a row."""
    both = zip(pairing.attempts(row.entry), pairing.verdicts(row.entry), strict=True)
    for place, (attempt, verdict) in enumerate(both):
        yield _line(row, place, attempt, verdict)


def _line(row: Numbered, place: int, attempt: Attempt, verdict: Verdict | None) -> Line:
    outcome, value = _outcome(verdict)
    return Line(
        row=row.seq,
        place=place,
        step=row.entry.key,
        task=attempt.task,
        index=attempt.index,
        round=attempt.round,
        policy=attempt.policy,
        temperature=attempt.temperature,
        tokens=attempt.token_count,
        stop=attempt.stop,
        outcome=outcome,
        value=value,
        start=attempt.response[:_START],
    )


def _outcome(verdict: Verdict | None) -> tuple[Outcome, float | None]:
    match verdict:
        case Scored(value=value):
            return (Outcome.RIGHT if value == 1 else Outcome.WRONG if value == 0 else Outcome.PART), value
        case Rejected():
            return Outcome.REJECTED, 0.0
        case Error():
            return Outcome.ERROR, None
        case None:
            return Outcome.UNKNOWN, None


def trace(watch: Watch, pairing: Pairing, model: str, row: int, place: int) -> Trace:
    """One attempt; BadInput if there is none at that place. `model` is the run's, for what tokens say."""
    line, attempt, verdict = _find(watch, pairing, row, place)
    return Trace(
        line=line,
        turns=tuple(_shown(turn, model) for turn in attempt.turns),
        provenance=attempt.provenance,
        branch=attempt.branch,
        steps=attempt.steps,
        told=attempt.outcome,
        files=attempt.files,
        verdict=verdict,
    )


def piece(watch: Watch, pairing: Pairing, row: int, place: int, turn: int, begin: int) -> Piece:
    """The next part of a turn's text."""
    _, attempt, _ = _find(watch, pairing, row, place)
    if turn >= len(attempt.turns):
        raise BadInput("turn", turn, "there is no such turn", remedy="take one of the attempt's")
    return _cut(attempt.turns[turn].text, begin)


def _find(watch: Watch, pairing: Pairing, row: int, place: int) -> tuple[Line, Attempt, Verdict | None]:
    at = watch.tail.at(row)
    if at is None or at.entry.verb != "attempt" or place >= len(pairing.attempts(at.entry)):
        raise BadInput("row", row, "there is no such attempt", remedy="take one of the list")
    attempt, verdict = pairing.attempts(at.entry)[place], pairing.verdicts(at.entry)[place]
    return _line(at, place, attempt, verdict), attempt, verdict


def _shown(turn: Turn, model: str) -> ShownTurn:
    return ShownTurn(
        author=turn.author,
        role=turn.role,
        score=turn.score,
        trained=turn.trained,
        text=_cut(turn.text, 0),
        token_ids=turn.token_ids[:TOKENS],
        logprobs=None if turn.logprobs is None else turn.logprobs[:TOKENS],
        token_texts=token_texts(model, turn, TOKENS),
        tokens=len(turn.token_ids),
    )


def _cut(text: str, begin: int) -> Piece:
    return Piece(text=text[begin : begin + PIECE], begin=begin, total=len(text))
