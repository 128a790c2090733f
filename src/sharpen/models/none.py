"""No model at all, for policies that are programs or skills."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sharpen.core.errors import BadInput
from sharpen.models.base import Capability, Completions, Decoding, Prompt


class NoModel:
    """Stands where a policy needs no model; asking it anything is an error of the request."""

    name = "none"
    fingerprint = "none"
    capabilities: frozenset[Capability] = frozenset()
    parameters = 0

    def sample(self, prompts: Sequence[Prompt], decoding: Decoding) -> list[Completions]:
        """Always BadInput."""
        raise _missing()

    def logprobs(self, pairs: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> list[tuple[float, ...]]:
        """Always BadInput."""
        raise _missing()

    def load(self, weights: Path | None) -> None:
        """Nothing to load; BadInput for weights."""
        if weights is not None:
            raise _missing()


def _missing() -> BadInput:
    return BadInput("model", "none", "this recipe or task needs a model", remedy="name one with --model")
