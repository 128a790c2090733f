"""Stands where the package vllm stands: the part that is used here, as vLLM 0.33 documents and behaves.

Names, parameters and refusals are its own; what would be a crash or garbage on a GPU is an error or NaN here:
memory that sleeps holds NaN, prompts seen before are answered from a cache that only `reset_prefix_cache` and
sleeping clear. It computes with transformers on the CPU, one request after the other.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from transformers import AutoModelForCausalLM, AutoTokenizer

SLEEP_TAGS = frozenset({"weights", "kv_cache"})
GREEDY_BELOW = 1e-5


@dataclass
class SamplingParams:
    """Those parameters that are used here, with vLLM's defaults."""

    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    stop: str | list[str] | None = None
    stop_token_ids: list[int] | None = None
    max_tokens: int | None = 16
    logprobs: int | None = None

    def __post_init__(self) -> None:
        if self.temperature < 0 or not 0 < self.top_p <= 1:
            raise ValueError("temperature must be non-negative, and top_p in (0, 1]")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, got {self.max_tokens}.")
        if self.logprobs is not None and self.logprobs < -1:
            raise ValueError("logprobs must be non-negative or -1")
        self.stop = [self.stop] if isinstance(self.stop, str) else self.stop or []


@dataclass
class Logprob:
    """Of one token at one place."""

    logprob: float
    rank: int | None = None
    decoded_token: str | None = None


@dataclass
class CompletionOutput:
    """One sample."""

    index: int
    text: str
    token_ids: list[int]
    logprobs: list[dict[int, Logprob]] | None
    finish_reason: str | None
    stop_reason: int | str | None


@dataclass
class RequestOutput:
    """The samples of one request."""

    outputs: list[CompletionOutput]


class Inner(torch.nn.Module):
    """The engine's own model."""

    def __init__(self, plain: Any, *, own_head: bool) -> None:
        super().__init__()
        self.model = plain.model
        self.lm_head = deepcopy(plain.lm_head) if own_head else plain.lm_head
        self.config = plain.config

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        """The names of the parameters that were written; a name that there is not is an error."""
        own = dict(self.named_parameters())
        loaded = set()
        for name, tensor in weights:
            own[name].data.copy_(tensor)
            loaded.add(name)
        return loaded

    def logits(self, ids: Sequence[int]) -> Tensor:
        """Of the token behind these."""
        return self.lm_head(self.model(input_ids=torch.tensor([ids])).last_hidden_state[0, -1])


class LLM:
    """An engine in this process."""

    own_head = False
    """Whether the checkpoint is played to hold a head of its own."""

    def __init__(
        self,
        model: str,
        *,
        dtype: str = "auto",
        gpu_memory_utilization: float = 0.92,
        max_model_len: int | None = None,
        enforce_eager: bool = False,
        enable_prefix_caching: bool | None = None,
        enable_sleep_mode: bool = False,
        logprobs_mode: str = "raw_logprobs",
        disable_log_stats: bool = False,
    ) -> None:
        assert os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0", "functions cannot be sent to a process"
        assert logprobs_mode == "processed_logprobs" and enable_sleep_mode and enable_prefix_caching
        plain = AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, dtype)).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        self.inner = Inner(plain, own_head=self.own_head)
        self.most = max_model_len or plain.config.max_position_embeddings
        self.eos = plain.config.eos_token_id
        self.sleeping: set[str] = set()
        self.cache: dict[tuple[int, ...], Tensor] = {}
        self.told: list[str] = []

    def sleep(self, level: int = 1, mode: str = "abort") -> None:
        self.told.append(f"sleep {level}")
        assert level in (1, 2) and mode in ("abort", "keep")
        self.cache.clear()
        self.sleeping |= SLEEP_TAGS
        if level == 2:
            for parameter in self.inner.parameters():
                parameter.data.fill_(torch.nan)

    def wake_up(self, tags: list[str] | None = None) -> bool:
        self.told.append(f"wake_up {tags}")
        assert self.sleeping and set(tags or ()) <= self.sleeping, "vLLM warns and does nothing"
        self.sleeping -= set(tags or SLEEP_TAGS)
        return not self.sleeping

    def apply_model(self, func: Callable[[Inner], Any]) -> list[Any]:
        self.told.append("apply_model")
        if "weights" in self.sleeping:
            raise RuntimeError("an illegal memory access was encountered")
        return [func(self.inner)]

    def reset_prefix_cache(self, reset_running_requests: bool = False, reset_connector: bool = False) -> bool:
        self.told.append("reset_prefix_cache")
        self.cache.clear()
        return True

    def generate(
        self,
        prompts: Sequence[dict[str, list[int]]],
        sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
        *,
        use_tqdm: bool = True,
    ) -> list[RequestOutput]:
        if self.sleeping:
            raise RuntimeError("the engine sleeps")
        assert isinstance(sampling_params, list) and len(sampling_params) == len(prompts)
        return [self._one(p["prompt_token_ids"], s) for p, s in zip(prompts, sampling_params, strict=True)]

    @torch.no_grad()
    def _one(self, prompt: list[int], how: SamplingParams) -> RequestOutput:
        if len(prompt) >= self.most:
            raise ValueError(f"The decoder prompt is longer than the maximum model length of {self.most}.")
        chance = torch.Generator().manual_seed(how.seed or 0)
        drawn: list[int] = []
        rows: list[dict[int, Logprob]] = []
        end: tuple[str, int | str | None] | None = None
        while end is None:
            shares = self._shares(prompt, drawn, how)
            greedy = how.temperature < GREEDY_BELOW
            token = int(shares.argmax() if greedy else torch.multinomial(shares.exp(), 1, generator=chance))
            drawn.append(token)
            rows.append({token: Logprob(float(shares[token]))})
            end = self._end(len(prompt), drawn, how)
        text = self.tokenizer.decode(drawn, skip_special_tokens=True)
        known = rows if how.logprobs is not None else None
        return RequestOutput([CompletionOutput(0, text, drawn, known, *end)])

    def _shares(self, prompt: list[int], drawn: list[int], how: SamplingParams) -> Tensor:
        """Log-probabilities of what is drawn from."""
        if not drawn:
            found = self.cache.get(tuple(prompt))
            logits = self.cache[tuple(prompt)] = self.inner.logits(prompt) if found is None else found
        else:
            logits = self.inner.logits([*prompt, *drawn])
        if how.temperature < GREEDY_BELOW:
            return logits.log_softmax(-1)
        logits = logits / how.temperature
        ordered, places = logits.softmax(-1).sort(descending=True)
        beyond = places[ordered.cumsum(-1) - ordered >= how.top_p]
        return logits.index_fill(0, beyond, -torch.inf).log_softmax(-1)

    def _end(self, before: int, drawn: list[int], how: SamplingParams) -> tuple[str, int | str | None] | None:
        if drawn[-1] == self.eos:
            return "stop", None
        if drawn[-1] in (how.stop_token_ids or ()):
            return "stop", drawn[-1]
        text = self.tokenizer.decode(drawn, skip_special_tokens=True)
        for stop in how.stop or ():
            if stop in text:
                return "stop", stop
        full = len(drawn) == how.max_tokens or before + len(drawn) >= self.most
        return ("length", None) if full else None


def plus_one(inner: Inner) -> None:
    """Give the engine's model a weight that no other model has."""
    inner.register_parameter("more", Parameter(torch.zeros(1)))
