"""What a learner is given: token ids with a weight for every response token."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

from sharpen.core.attempt import TEACHES, Attempt, Turn
from sharpen.core.errors import BadInput
from sharpen.core.records import digest


class Example(NamedTuple):
    """A prompt and the response to learn; `mask` has one entry per response token, 0 for none of its loss."""

    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    mask: tuple[float, ...]
    weight: float = 1.0
    inputs: tuple[tuple[float, ...], ...] = ()
    """What else an objective knows of each response token: one row each, or nothing at all."""
    link: str = ""
    """Neighbours of equal link (a pair, a group) go through the model together; empty means alone."""

    @property
    def length(self) -> int:
        """Tokens of prompt and response."""
        return len(self.prompt_ids) + len(self.response_ids)

    @property
    def trained_tokens(self) -> int:
        """Response tokens that carry loss."""
        return sum(value > 0 for value in self.mask) if self.weight > 0 else 0

    @property
    def total_weight(self) -> float:
        """Sum of the weights of its tokens."""
        return self.weight * sum(self.mask)


@dataclass(frozen=True)
class Batch:
    """Examples, in order."""

    examples: tuple[Example, ...]

    @cached_property
    def fingerprint(self) -> str:
        """Content hash: equal batches have equal fingerprints."""
        return digest([list(example) for example in self.examples])

    def check(self, context: int) -> None:
        """BadInput unless there is something to learn and every example is well formed and fits `context`."""
        for index, example in enumerate(self.examples):
            if problem := _problem(example, context):
                raise BadInput("batch", f"example {index}", problem, remedy="leave it out or mend it")
        if not any(example.trained_tokens for example in self.examples):
            what = "every token is masked out" if self.examples else "it is empty"
            raise BadInput(
                "batch",
                f"{len(self.examples)} examples",
                what,
                remedy="sample more attempts per task, or take an easier level, so that some are kept",
            )


def _problem(example: Example, context: int) -> str | None:
    if not example.prompt_ids:
        return "has an empty prompt, so its first token follows nothing"
    if len(example.mask) != len(example.response_ids):
        return f"has {len(example.mask)} mask entries for {len(example.response_ids)} response tokens"
    if not 0 <= example.weight < float("inf") or not all(0 <= value < float("inf") for value in example.mask):
        return "has a weight that is negative or not finite"
    if example.inputs and len(example.inputs) != len(example.response_ids):
        return f"has {len(example.inputs)} rows of inputs for {len(example.response_ids)} response tokens"
    if len({len(row) for row in example.inputs}) > 1:
        return "has rows of inputs of several lengths"
    if example.length > context:
        return f"has {example.length} tokens, and the model takes {context}"
    return None


def units(examples: Sequence[Example]) -> list[tuple[Example, ...]]:
    """The examples in order: linked neighbours together, others alone."""
    found: list[tuple[Example, ...]] = []
    for example in examples:
        if found and example.link and found[-1][-1].link == example.link:
            found[-1] += (example,)
        else:
            found.append((example,))
    return found


class Encoder(Protocol):
    """The part of a model that turns text into tokens."""

    @property
    def eos_id(self) -> int:
        """The token that ends a response."""

    def encode(self, text: str) -> tuple[int, ...]:
        """Ids of a text that begins a prompt."""

    def encode_response(self, text: str) -> tuple[int, ...]:
        """Ids of a text that continues."""


def example_from(attempt: Attempt, encoder: Encoder, *, weight: float = 1.0) -> Example:
    """The attempt as an example: turns by policy or teacher carry loss unless they are marked untrained.

    Turns with token ids keep them, so that what is learnt is exactly what was drawn; other turns are encoded,
    and the end token follows such a turn unless the same document goes on being learnt.
    """
    first = next((i for i, turn in enumerate(attempt.turns) if turn.author in TEACHES), len(attempt.turns))
    prompt = tuple(_ids(attempt.turns[:first], encoder, begins=True))
    response: list[int] = []
    mask: list[float] = []
    rest = attempt.turns[first:]
    for turn, following in zip(rest, (*rest[1:], None), strict=True):
        ids = list(_ids((turn,), encoder, begins=False))
        if not turn.token_ids and _ends(turn, following):
            ids.append(encoder.eos_id)
        response += ids
        mask += [float(turn.author in TEACHES and turn.trained)] * len(ids)
    return Example(prompt, tuple(response), tuple(mask), weight)


def _ends(turn: Turn, following: Turn | None) -> bool:
    """Whether the speaker is done after this turn."""
    return following is None or (turn.author in TEACHES and following.author not in TEACHES)


def _ids(turns: Sequence[Turn], encoder: Encoder, *, begins: bool) -> Iterable[int]:
    for place, turn in enumerate(turns):
        if turn.token_ids:
            yield from turn.token_ids
        else:
            yield from (encoder.encode if begins and place == 0 else encoder.encode_response)(turn.text)
