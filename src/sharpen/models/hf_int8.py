"""A decoder's twin for sampling on CPUs: the same module with int8 weights in its linear layers.

What the twin draws has the twin's probabilities. How far they are from the module's is measured on what was
drawn; beyond a limit the twin is not used. Learners that need the module's own compute them anew, and stop at
gaps of their own.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from statistics import mean

import torch
from torch import Tensor
from torch.nn import Linear, Module
from transformers import PreTrainedModel

from sharpen.core.policy import Decoding
from sharpen.core.records import Record
from sharpen.models.hf_decode import Drawn, Hear, Limits, Share
from sharpen.models.hf_head import Head, score
from sharpen.models.hf_linear import Int8Linear
from sharpen.models.hf_sampler import Sampler
from sharpen.models.hf_text import StopWatch, Text
from sharpen.models.hf_weights import ADAPTER_NAME, Weights

UNKNOWN = ""
"""What weights that a learner is at work on go by."""
MOST_MISMATCH = 0.1
"""Largest mean difference of log-probabilities with which the twin is used."""
PROBED = 24
"""Tokens of a row on which that is measured."""
PROBES = (
    "Question: Tom has 12 apples and buys 7 more. How many apples does he have?\nAnswer:",
    "The capital of France is",
    "def add(a, b):\n    return",
    "3 + 4 * 2 =",
    "Once upon a time there was a",
    "To make tea, first",
    "Water boils at",
    "My favourite book is",
)
"""Prompts on which it is measured."""


def int8_twin(module: PreTrainedModel) -> PreTrainedModel:
    """A module that shares all of this one's parts, but its linear layers: those are rounded copies."""
    return _twin(module)  # type: ignore[return-value]


@torch.no_grad()
def _twin(module: Module) -> Module:
    inner = getattr(module, "base_layer", module)
    if isinstance(inner, Linear):
        weight: Tensor = inner.weight
        if inner is not module:
            weight = weight + module.get_delta_weight(ADAPTER_NAME)
        return Int8Linear(weight, inner.bias)
    twin = copy.copy(module)
    twin.__dict__["_modules"] = {name: child and _twin(child) for name, child in module._modules.items()}
    return twin


class Mismatch(Record):
    """How far log-probabilities of drawn tokens are from the module's own."""

    tokens: int
    mean: float
    """Of absolute differences."""
    bias: float
    """Of signed ones, which is an estimate of the KL divergence from the module."""


class Int8Sampler:
    """Samples from a module's twin, made and measured anew whenever the module's weights have changed."""

    def __init__(self, plain: Sampler, head: Head, weights: Weights, text: Text, context: int) -> None:
        """`plain` samples from the module itself; `context` is the most tokens that it takes."""
        self.plain, self.head, self.weights = plain, head, weights
        self.text, self.context = text, context
        self.most_rows = plain.most_rows
        self._held: str | None = UNKNOWN
        self._made: tuple[Sampler, Mismatch] | None = None

    def draw(
        self,
        wanted: Sequence[Share],
        decoding: Decoding,
        limits: Limits,
        watch: StopWatch,
        hear: Hear | None = None,
    ) -> list[list[Drawn]]:
        """One row per seed of every share, in order: the twin's, or the module's if it is too far off."""
        twin, mismatch = self.twin()
        sampler = twin if mismatch.mean <= MOST_MISMATCH else self.plain
        sampler.most_rows = self.most_rows
        return sampler.draw(wanted, decoding, limits, watch, hear)

    def twin(self) -> tuple[Sampler, Mismatch]:
        """What samples from the twin, with the weights in place, and how far it is off."""
        held = self.weights.held
        if self._made is None or held == UNKNOWN or held != self._held:
            twin = self.plain.of_twin(int8_twin(self.plain.module))
            self._made, self._held = (twin, self._measured(twin)), held
            self._tell(self._made[1])
        return self._made

    def _tell(self, mismatch: Mismatch) -> None:
        if mismatch.mean > MOST_MISMATCH:
            told = (
                "int8 weights are not used for sampling: with them log-probabilities are off by "
                f"{mismatch.mean:.2g} a token, and {MOST_MISMATCH} is the most."
            )
            print(told, file=sys.stderr)

    def _measured(self, twin: Sampler) -> Mismatch:
        shares = [Share(self.text.encode_prompt(text), (seed,)) for seed, text in enumerate(PROBES)]
        watch = StopWatch(self.text, (), self.head.vocabulary, self.plain.module.device)
        decoding, limits = Decoding(temperature=1.0, max_tokens=PROBED), Limits((), self.context)
        rows = [row for (row,) in twin.draw(shares, decoding, limits, watch)]
        pairs = [(share.ids, tuple(row.token_ids)) for share, row in zip(shares, rows, strict=True)]
        gaps = [
            here - there
            for row, own in zip(rows, score(self.head, pairs), strict=True)
            for here, there in zip(row.logprobs, own, strict=True)
        ]
        return Mismatch(tokens=len(gaps), mean=mean(map(abs, gaps)), bias=mean(gaps))
