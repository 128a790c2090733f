"""The one protocol of every model: sample, score, load weights; capabilities say what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from pydantic import JsonValue

from sharpen.core.attempt import Stop
from sharpen.core.dialogue import Call, Calling, Tool
from sharpen.core.policy import Decoding as Decoding


class Capability(StrEnum):
    """What a model can do beyond sampling text, or instead of it."""

    LOGPROBS = "logprobs"
    """Sampled tokens come with log-probabilities, and given text can be scored."""
    PREFIX = "prefix"
    """A response can be forced to begin with given tokens."""
    TRAIN = "train"
    """The weights are here and a learner can change them."""
    SCHEMA = "schema"
    """A reply can be held to a JSON schema."""
    TOOLS = "tools"
    """It can be offered functions, and says what it calls in a form of its own."""
    IMAGES = "images"
    """It sees pictures that stand in a dialogue."""
    PICTURES = "pictures"
    """It draws pictures for captions, and learners of pictures can change it; it writes no text."""


@runtime_checkable
class Encoder(Protocol):
    """A model whose tokens are at hand."""

    def encode(self, text: str) -> tuple[int, ...]:
        """Ids of a text that begins a prompt."""

    def encode_response(self, text: str) -> tuple[int, ...]:
        """Ids of a text that continues."""


class Prompt(NamedTuple):
    """One prompt, the seeds of the samples wanted for it, and an optional forced start."""

    text: str
    seeds: tuple[int, ...]
    prefix: str = ""
    token_ids: tuple[int, ...] = ()
    """Exact tokens to continue, in place of the text; only for models whose tokens are at hand."""
    schema: Mapping[str, JsonValue] | None = None
    """JSON schema that the reply must fit; only for models that can be held to one."""
    tools: tuple[Tool, ...] = ()
    """Functions that it may call; only for models that can be offered some."""
    calling: Calling = Calling.MAY
    """Whether it has to call one, for models that can be told so; others are given a forced start."""


class Completion(NamedTuple):
    """One sampled response. `text` has the stop text removed; `token_ids` are exactly what was drawn."""

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...] | None
    stop: Stop
    calls: tuple[Call, ...] = ()
    """Functions that it calls, of those that it was offered."""


class Completions(NamedTuple):
    """The samples of one prompt, in the order of its seeds."""

    prompt_ids: tuple[int, ...]
    samples: tuple[Completion, ...]


class Model(Protocol):
    """Weights or an API behind one interface."""

    @property
    def name(self) -> str:
        """What the user called it."""

    @property
    def fingerprint(self) -> str:
        """Hash of the base weights and tokenizer, or of endpoint and model name."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it can do."""

    def sample(self, prompts: Sequence[Prompt], decoding: Decoding) -> list[Completions]:
        """Draw one response per seed of every prompt.

        A row's tokens depend on its prompt, seed and decoding alone. Results are in prompt order.
        """

    def logprobs(self, pairs: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> list[tuple[float, ...]]:
        """Log-probability (temperature 1) of each response token of (prompt ids, response ids)."""

    def load(self, weights: Path | None) -> None:
        """Use these weights (a safetensors file made by a learner), or None for the base."""
