"""A decoder in two halves, trunk and head, so that [tokens, vocabulary] never exists for a whole batch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from sharpen.models.hf_fused import Kernel, installed, proven

SCORED_TOKENS = 8192
LOGITS_AT_ONCE = 1 << 24
"""Elements of a float32 logits block that are held at once (64 MiB)."""
ROUNDING = 1e-3

Pair = tuple[tuple[int, ...], tuple[int, ...]]


class Head:
    """Features of all positions, then logits of the wanted ones.

    Whether trunk and head together give the model's own logits is checked on first use; where they do not
    (a model with a transformation of its own after the head), the model's logits serve as features.
    """

    def __init__(self, module: PreTrainedModel) -> None:
        """`module` is any causal language model."""
        self.module = module

    def features(self, ids: Tensor, positions: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Features of every position of ids [rows, width]: [rows, width, anything].

        mask: which places see which, [rows, 1, width, width]; the model makes its own if there is none.
        """
        given = {"position_ids": positions, "attention_mask": mask}
        extra: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if not self.splits:
            return _tensor(self.module(input_ids=ids, use_cache=False, **extra).logits)
        return _tensor(self.module.base_model(input_ids=ids, use_cache=False, **extra).last_hidden_state)

    def logits(self, features: Tensor) -> Tensor:
        """Float32 logits [positions, vocabulary] of features [positions, anything]."""
        return (self._head(features) if self.splits else features).float()

    def _head(self, features: Tensor) -> Tensor:
        logits = _tensor(self.module.get_output_embeddings()(features))
        return logits if self._cap is None else torch.tanh(logits / self._cap) * self._cap

    @property
    def _cap(self) -> float | None:
        return getattr(self.module.config, "final_logit_softcapping", None)

    def fused(self, features: Tensor, targets: Tensor) -> Tensor | None:
        """Log-probabilities [n] of targets [n] by a kernel that holds no logits; None where there is none."""
        if self._kernel is None:
            return None
        return self._kernel(features, self.module.get_output_embeddings().weight, targets, self._cap)

    @cached_property
    def _kernel(self) -> Kernel | None:
        """The kernel that is installed, if it has been found to give what logits give."""
        output = self.module.get_output_embeddings()
        kernel = installed(self.module.device)
        plain_head = isinstance(output, torch.nn.Linear) and output.bias is None
        if kernel is None or not (self.splits and plain_head):
            return None
        return kernel if proven(kernel, output.weight, self._cap) else None

    @property
    def vocabulary(self) -> int:
        """Number of logits per position."""
        return int(self.module.get_output_embeddings().weight.shape[0])

    @cached_property
    def splits(self) -> bool:
        """Whether trunk and head give the model's own logits."""
        ids = torch.arange(8, device=self.module.device)[None] % self.vocabulary
        with torch.no_grad():
            whole = self.module(input_ids=ids, use_cache=False).logits
            output = self.module.base_model(input_ids=ids, use_cache=False)
            hidden = getattr(output, "last_hidden_state", None)
            return hidden is not None and bool((self._head(hidden) - whole).norm() <= ROUNDING * whole.norm())


def _tensor(value: Any) -> Tensor:
    tensor: Tensor = value
    return tensor


def mixed(device: torch.device) -> AbstractContextManager[object]:
    """Products in bfloat16 over float32 weights, where the device is a GPU that has it: mixed precision.

    Scoring and training go by the same rule, so that a policy's ratio to itself is one.
    """
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()


@torch.inference_mode()
def score(head: Head, pairs: Sequence[Pair], *, temperature: float = 1.0) -> list[tuple[float, ...]]:
    """Log-probability of every response token of (prompt ids, response ids); prompts must not be empty."""
    results: list[tuple[float, ...]] = [()] * len(pairs)
    asked = [index for index, (_, response) in enumerate(pairs) if response]
    for group in batches([sum(map(len, pairs[index])) for index in asked], SCORED_TOKENS):
        places = [asked[index] for index in group]
        rows = _score_batch(head, [pairs[place] for place in places], temperature)
        for place, row in zip(places, rows, strict=True):
            results[place] = tuple(row)
    return results


def batches(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Indices in groups of like length, each at most `tokens` wide times high (or one row)."""
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        if groups and (len(groups[-1]) + 1) * lengths[index] <= tokens:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def _score_batch(head: Head, pairs: Sequence[Pair], temperature: float) -> list[list[float]]:
    device = head.module.device
    width = max(len(prompt) + len(response) for prompt, response in pairs)
    ids = torch.tensor([[*p, *r, *[0] * (width - len(p) - len(r))] for p, r in pairs], device=device)
    places = [(row, len(p) - 1 + i) for row, (p, r) in enumerate(pairs) for i in range(len(r))]
    rows, columns = torch.tensor(places, device=device).T
    with mixed(device):
        picked = head.features(ids)[rows, columns]
        values = iter(_logprobs(head, picked, ids[rows, columns + 1], temperature).tolist())
    return [list(islice(values, len(response))) for _, response in pairs]


def _logprobs(head: Head, features: Tensor, targets: Tensor, temperature: float) -> Tensor:
    size = max(1, LOGITS_AT_ONCE // head.vocabulary)
    parts = []
    for some, wanted in zip(torch.split(features, size), torch.split(targets, size), strict=True):
        logits = head.logits(some) / temperature
        parts.append(logits.gather(1, wanted[:, None]).squeeze(1) - logits.logsumexp(dim=-1))
    return torch.cat(parts)
