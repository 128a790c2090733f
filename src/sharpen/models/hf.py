"""Any Hugging Face causal decoder as a model: sampling in groups, scoring, loading learned weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sharpen.core.dialogue import Tool
from sharpen.core.errors import BadInput, TooLong
from sharpen.core.policy import Decoding
from sharpen.core.task import Message
from sharpen.models.base import Capability, Completion, Completions, Prompt
from sharpen.models.calls import opening, read_calls
from sharpen.models.hf_chat import Chat
from sharpen.models.hf_folder import Fingerprint, check_folder
from sharpen.models.hf_head import Head, score
from sharpen.models.hf_int8 import Int8Sampler
from sharpen.models.hf_read import read_module, read_tokenizer
from sharpen.models.hf_rows import Drawn, Hear, Limits, Share
from sharpen.models.hf_sampler import Sampler
from sharpen.models.hf_text import StopWatch, Text, cut
from sharpen.models.hf_weights import Weights

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
UNLIMITED = 1 << 30


class HFModel:
    """A folder with config, tokenizer and safetensors weights; everything runs on one device."""

    def __init__(
        self, folder: Path, module: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, name: str
    ) -> None:
        """Use `HFModel.open`."""
        self.name = name
        self.folder = folder
        self.module = module
        self.tokenizer = tokenizer
        self.dtype = str(module.dtype).removeprefix("torch.")
        self.threads = torch.get_num_threads()
        self.lora_rank: int | None = None
        """Rank of the adapters that learners train; none means the weights themselves."""
        self.processes = 1
        """Processes, one GPU each, over which learners spread the weights; see `spread`."""
        self.parameters = sum(parameter.numel() for parameter in module.parameters())
        self.hear: Hear | None = None
        """Hears every token as it is drawn, if it is set; for servers that stream."""
        self.head = Head(module)
        self.sampler: Sampler | Int8Sampler = Sampler(module)
        self.text = Text(tokenizer)
        self._chat = Chat(tokenizer, self.text.inert, name)
        self._fingerprint = Fingerprint(folder)
        self.weights = Weights(
            module,
            fingerprint=lambda: self.fingerprint,
            fresh=lambda: read_module(folder, module.dtype, str(module.device)),
        )

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        name: str,
        dtype: str = "float32",
        threads: int | None = None,
        device: str | None = None,
    ) -> HFModel:
        """Read a model folder; `threads` sets the process's compute threads, `device` defaults to the GPU.

        Raises BadInput for a folder, dtype or device that cannot be used.
        """
        check_folder(folder)
        if dtype not in DTYPES:
            raise BadInput("dtype", dtype, "is not supported", remedy=f"one of: {', '.join(DTYPES)}")
        if threads is not None and threads < 1:
            raise BadInput("threads", threads, "is not positive", remedy="use 1 or more")
        if threads is not None:
            torch.set_num_threads(threads)
        place = device or ("cuda" if torch.cuda.is_available() else "cpu")
        module = read_module(folder, DTYPES[dtype], place)
        return cls(folder, module, read_tokenizer(folder), name=name)

    def spread(self, processes: int) -> None:
        """Let learners spread the weights over so many processes; BadInput for more than there are GPUs."""
        gpus = torch.cuda.device_count() if self.module.device.type == "cuda" else processes
        if processes > gpus:
            raise BadInput("processes", processes, f"there are {gpus} GPUs", remedy="ask for one each")
        self.processes = processes

    def sample_in_int8(self) -> None:
        """Sample from rounded weights from now on, as long as they are close enough to the model's own.

        BadInput for a model that is not in float32 on a CPU.
        """
        if (
            self.module.device.type != "cpu"
            or self.dtype != "float32"
            or isinstance(self.sampler, Int8Sampler)
        ):
            raise BadInput(
                "sample",
                "int8",
                f"is for float32 on a CPU, and this is {self.dtype} on {self.module.device}",
                remedy="leave it out",
            )
        self.sampler = Int8Sampler(self.sampler, self.head, self.weights, self.text, self.context)

    @property
    def fingerprint(self) -> str:
        """Hash of configuration, base weights and tokenizer."""
        return self._fingerprint.value

    @property
    def capabilities(self) -> frozenset[Capability]:
        """All that texts ask for, but no schemas; functions where the chat template takes them."""
        known = frozenset({Capability.LOGPROBS, Capability.PREFIX, Capability.TRAIN})
        return known | {Capability.TOOLS} if self._chat.takes_tools else known

    @property
    def eos_id(self) -> int:
        """The token that ends a response; BadInput if the tokenizer has none."""
        if self.tokenizer.eos_token_id is None:
            raise BadInput(
                "model", self.name, "its tokenizer has no end token", remedy="set eos_token in its folder"
            )
        return int(self.tokenizer.eos_token_id)

    @cached_property
    def eos_ids(self) -> tuple[int, ...]:
        """Every token that ends a response, by tokenizer and generation settings."""
        listed = self.module.generation_config.eos_token_id if self.module.generation_config else None
        more = listed if isinstance(listed, list) else [listed]
        return tuple(sorted({int(i) for i in (self.tokenizer.eos_token_id, *more) if i is not None}))

    @cached_property
    def context(self) -> int:
        """Most tokens that prompt and response may have together."""
        text_config = self.module.config.get_text_config()
        return int(getattr(text_config, "max_position_embeddings", None) or UNLIMITED)

    def encode(self, text: str) -> tuple[int, ...]:
        """Ids of a prompt, begun with the start token where the tokenizer begins texts so."""
        return self.text.encode_prompt(text)

    def encode_response(self, text: str) -> tuple[int, ...]:
        """Ids of a text that continues a prompt; no start or end token is added."""
        return self.text.encode_response(text)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of tokens, without special tokens."""
        return self.text.decode(ids)

    def chat(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> str:
        """The messages in the tokenizer's chat form, up to where a response begins."""
        return self._chat.text(messages, tools)

    def opening(self, tools: Sequence[Tool]) -> str | None:
        """How a response begins that calls one of the functions; None where that is not known."""
        return opening(tools) if self._chat.marks_calls else None

    def sample(self, prompts: Sequence[Prompt], decoding: Decoding) -> list[Completions]:
        """Draw one response per seed of every prompt; a prompt is prefilled once for all its samples.

        `max_tokens` counts drawn tokens; a forced prefix comes on top. A prompt close to the end of the
        model's context gets what room there is.
        """
        check_decoding(decoding)
        prompt_ids = [prompt.token_ids or self.encode(prompt.text) for prompt in prompts]
        prefix_ids = [self.encode_response(prompt.prefix) if prompt.prefix else () for prompt in prompts]
        full_ids = [first + then for first, then in zip(prompt_ids, prefix_ids, strict=True)]
        for ids, prompt in zip(full_ids, prompts, strict=True):
            self._check_fits(ids, prompt.text)
        prefix_logprobs = self._prefix_logprobs(prompt_ids, prefix_ids, decoding)
        wanted = [Share(ids, prompt.seeds) for ids, prompt in zip(full_ids, prompts, strict=True)]
        drawn = self._draw(wanted, decoding)
        return [
            Completions(
                ids,
                tuple(calling(self._completion(prefix, known, row, decoding), prompt.tools) for row in rows),
            )
            for prompt, ids, prefix, known, rows in zip(
                prompts, prompt_ids, prefix_ids, prefix_logprobs, drawn, strict=True
            )
        ]

    def _draw(self, wanted: Sequence[Share], decoding: Decoding) -> list[list[Drawn]]:
        """One row per seed of every share, in order."""
        watch = StopWatch(self.text, decoding.stop, self.head.vocabulary)
        limits = Limits(self.eos_ids, self.context)
        return self.sampler.draw(wanted, decoding, limits, watch, self.hear)

    def _check_fits(self, ids: tuple[int, ...], text: str) -> None:
        if not ids:
            raise BadInput("prompt", text, "has no tokens", remedy="write at least one character")
        if len(ids) >= self.context:
            raise TooLong(
                "prompt",
                text[:60],
                f"has {len(ids)} tokens, and model {self.name} takes {self.context}",
                remedy="shorten the task, or use fewer solved examples (`--shots`)",
            )

    def _prefix_logprobs(
        self, prompts: Sequence[tuple[int, ...]], prefixes: Sequence[tuple[int, ...]], decoding: Decoding
    ) -> list[tuple[float, ...]]:
        if not any(prefixes):
            return [()] * len(prompts)
        pairs = list(zip(prompts, prefixes, strict=True))
        return score(self.head, pairs, temperature=decoding.temperature or 1.0)

    def _completion(
        self, prefix: tuple[int, ...], known: tuple[float, ...], drawn: Drawn, decoding: Decoding
    ) -> Completion:
        ids = (*prefix, *drawn.token_ids)
        text = cut(self.decode(ids), decoding.stop, len(self.decode(prefix)) if prefix else 0)
        return Completion(text, ids, (*known, *drawn.logprobs), drawn.stop)

    def logprobs(self, pairs: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> list[tuple[float, ...]]:
        """Log-probability (temperature 1) of each response token of (prompt ids, response ids)."""
        for prompt, response in pairs:
            if not prompt or len(prompt) + len(response) > self.context:
                raise BadInput(
                    "pairs",
                    (len(prompt), len(response)),
                    f"a prompt must have tokens, and both together at most {self.context}",
                    remedy="leave such texts out",
                )
        return score(self.head, pairs)

    def load(self, weights: Path | None) -> None:
        """Use a learner's weights file, or None for the base; no work if that is in place."""
        self.weights.load(weights)

    def export(self, weights: Path | None, target: Path, *, merged: bool) -> None:
        """Write a folder for plain transformers (merged) or a peft adapter folder, with the tokenizer."""
        self.load(weights)
        if merged:
            self.weights.merge()
            self.module.save_pretrained(str(target))
        else:
            self.weights.write_adapter(target)
        self.tokenizer.save_pretrained(str(target))
        self.load(weights)


def calling(sample: Completion, tools: Sequence[Tool]) -> Completion:
    """The sample with its calls apart from its words, where functions were offered."""
    words, calls = read_calls(sample.text, tools)
    return sample._replace(text=words, calls=calls)


def check_decoding(decoding: Decoding) -> None:
    """BadInput for numbers that mean nothing."""
    problems = {
        "temperature": decoding.temperature >= 0,
        "top_p": 0 < decoding.top_p <= 1,
        "max_tokens": decoding.max_tokens >= 1,
        "stop": all(decoding.stop),
    }
    for field, fine in problems.items():
        if not fine:
            raise BadInput(
                field,
                getattr(decoding, field),
                "is out of range",
                remedy="temperature >= 0, 0 < top_p <= 1, max_tokens >= 1, no empty stop text",
            )
