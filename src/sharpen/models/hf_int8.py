"""A decoder's twin for sampling on CPUs: the same module with int8 weights in its linear layers.

What the twin draws has the twin's probabilities. How far they are from the module's is measured on what was
drawn; beyond a limit the twin is not used. Learners that need the module's own compute them anew, and stop at
gaps of their own.
"""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Mapping, Sequence
from statistics import mean

import torch
from torch import Tensor
from torch.nn import Linear, Module
from transformers import PreTrainedModel

from sharpen.core.policy import Decoding
from sharpen.core.records import Record
from sharpen.models.hf_head import Head, score
from sharpen.models.hf_linear import Int8Linear
from sharpen.models.hf_rows import Drawn, Hear, Limits, Share
from sharpen.models.hf_sampler import Sampler
from sharpen.models.hf_text import StopWatch, Text
from sharpen.models.hf_weights import ADAPTER_NAME, Weights

UNKNOWN = ""
"""What weights that a learner is at work on go by."""
MOST_KL = 0.05
"""Largest KL divergence from the module, in nats a token, with which the twin is used."""
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


def int8_twin(module: PreTrainedModel, probes: Sequence[tuple[int, ...]]) -> PreTrainedModel:
    """A module that shares all of this one's parts, but its linear layers: those are rounded copies.

    probes: prompts that show how large the inputs of each layer are.
    """
    return _twin(module, _peaks(module, probes))


def _linear(module: Module) -> Linear | None:
    """The linear layer that a module is, or wraps with an adapter."""
    inner = getattr(module, "base_layer", module)
    return inner if isinstance(inner, Linear) else None


@torch.no_grad()
def _peaks(module: PreTrainedModel, probes: Sequence[tuple[int, ...]]) -> dict[Module, Tensor]:
    """Largest magnitude of every input of every linear layer, [inputs] each."""
    peaks: dict[Module, Tensor] = {}

    def look(layer: Module, given: tuple[Tensor, ...]) -> None:
        seen = given[0].flatten(0, -2).abs().amax(dim=0)
        peaks[layer] = torch.maximum(seen, peaks[layer]) if layer in peaks else seen

    layers = [layer for layer in module.modules() if _linear(layer) is not None]
    hooks = [layer.register_forward_pre_hook(look) for layer in layers]
    for ids in probes:
        module(input_ids=torch.tensor([ids]), use_cache=False)
    for hook in hooks:
        hook.remove()
    return peaks


@torch.no_grad()
def _twin(module: Module, peaks: Mapping[Module, Tensor]) -> Module:
    inner = _linear(module)
    if inner is not None:
        weight: Tensor = inner.weight
        if inner is not module:
            weight = weight + module.get_delta_weight(ADAPTER_NAME)  # type: ignore[operator]
        return Int8Linear(weight, inner.bias, peaks.get(module))
    twin = copy.copy(module)
    children = module._modules.items()
    twin.__dict__["_modules"] = {name: child and _twin(child, peaks) for name, child in children}
    return twin


class Mismatch(Record):
    """How far log-probabilities of drawn tokens are from the module's own."""

    tokens: int
    mean: float
    """Mean absolute difference."""
    kl: float
    """Estimate of the KL divergence of the twin from the module, in nats a token (k3 of Schulman's)."""


class Int8Sampler:
    """Samples from a module's twin, made and measured anew whenever the module's weights have changed."""

    def __init__(self, plain: Sampler, head: Head, weights: Weights, text: Text, context: int) -> None:
        """`plain` samples from the module itself; `context` is the most tokens that it takes."""
        self.plain, self.head, self.weights = plain, head, weights
        self.text, self.context = text, context
        self.most_rows = plain.most_rows
        self._held: str | None = UNKNOWN
        self._made: tuple[Sampler, Mismatch] | None = None
        self._told = False

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
        sampler = twin if mismatch.kl <= MOST_KL else self.plain
        sampler.most_rows = self.most_rows
        return sampler.draw(wanted, decoding, limits, watch, hear)

    def twin(self) -> tuple[Sampler, Mismatch]:
        """What samples from the twin, with the weights in place, and how far it is off."""
        held = self.weights.held
        if self._made is None or held == UNKNOWN or held != self._held:
            twin = self.plain.of_twin(int8_twin(self.plain.module, self._probes()))
            self._made, self._held = (twin, self._measured(twin)), held
            self._tell(self._made[1])
        return self._made

    def _probes(self) -> list[tuple[int, ...]]:
        return [self.text.encode_prompt(text)[: self.context // 2] for text in PROBES]

    def _tell(self, mismatch: Mismatch) -> None:
        off = f"log-probabilities are off by {mismatch.mean:.2g} a token, KL {mismatch.kl:.2g}"
        if mismatch.kl > MOST_KL:
            print(
                f"int8 weights are not used for sampling: {off}, and {MOST_KL} is the most.", file=sys.stderr
            )
        elif not self._told:
            print(f"Sampling with int8 weights: {off}.", file=sys.stderr)
        self._told = True

    def _measured(self, twin: Sampler) -> Mismatch:
        shares = [Share(ids, (seed,)) for seed, ids in enumerate(self._probes())]
        watch = StopWatch(self.text, (), self.head.vocabulary)
        decoding, limits = Decoding(temperature=1.0, max_tokens=PROBED), Limits((), self.context)
        rows = [row for (row,) in twin.draw(shares, decoding, limits, watch)]
        pairs = [(share.ids, tuple(row.token_ids)) for share, row in zip(shares, rows, strict=True)]
        gaps = [
            here - there
            for row, own in zip(rows, score(self.head, pairs), strict=True)
            for here, there in zip(row.logprobs, own, strict=True)
        ]
        kl = mean(math.expm1(-gap) + gap for gap in gaps)
        return Mismatch(tokens=len(gaps), mean=mean(map(abs, gaps)), kl=kl)
