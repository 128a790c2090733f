"""A Hugging Face model that learns and scores as always, and samples through vLLM on the same GPU.

Opened as `vllm:MODEL?memory=0.4`, where MODEL is whatever else names a local model. One process holds both:
the module, whose float32 weights learners train, and the engine, whose copy is made of them in place, with
any adapter merged on the way and no file in between. While a learner works the engine sleeps: it gives its
weights and its cache back and gets new ones when it is asked again. Every sample is a request of its own,
so that it has a seed of its own; prefix caching makes the prompt of a group be read once.

The engine's log-probabilities are of the distribution that was drawn from, after temperature and top_p, and
differ from the module's by rounding; learners from one's own attempts compute them anew and report the gap.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import Module, Parameter
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sharpen.core.attempt import Stop
from sharpen.core.errors import BadInput, Unavailable
from sharpen.core.policy import Decoding
from sharpen.core.records import Record
from sharpen.core.spec import Spec
from sharpen.models.hf import UNLIMITED, HFModel
from sharpen.models.hf_read import read_module, read_tokenizer
from sharpen.models.hf_rows import Drawn, Share
from sharpen.models.hf_weights import ADAPTER_NAME, Lora, Weights

BASE = "base"
SEED_RANGE = 2**63
_WITHOUT = "open the model without `vllm:`"
_DISCARD = 2
"""The depth of sleep that keeps neither weights nor cache: new weights come with the next request."""


class Options(Record):
    """How the engine is run."""

    memory: Annotated[float, Field(gt=0, le=1)] = 0.4
    """Share of the GPU's memory that is the engine's while it is awake."""
    length: Annotated[int, Field(ge=16)] | None = None
    """Most tokens of prompt and response together; by default what the model takes."""
    number: str = "bfloat16"
    """Number type the engine computes in."""
    eager: bool = False
    """Do without CUDA graphs: a faster start, slower samples."""


def parse(written: str) -> tuple[str, Options]:
    """The model's name and the options of `MODEL?key=value`."""
    spec = Spec.parse(written, kind="model")
    hints = get_type_hints(Options, include_extras=True)
    return spec.name, Options(**spec.bind({name: hints[name] for name in Options.model_fields}, kind="model"))


def open_vllm(folder: Path, options: Options, *, name: str, threads: int | None) -> VllmModel:
    """Open a model folder on the GPU; Unavailable without vLLM or without a GPU."""
    if find_spec("vllm") is None:
        raise Unavailable("the package vllm is not installed", remedy="pip install 'sharpen[vllm]'")
    if not torch.cuda.is_available():
        raise Unavailable("vLLM needs a GPU, and torch finds none", remedy=_WITHOUT)
    if threads is not None:
        torch.set_num_threads(threads)
    module = read_module(folder, torch.float32, "cuda")
    return VllmModel(folder, module, read_tokenizer(folder), name=name, options=options)


class VllmModel(HFModel):
    """Module and engine; see the head of this file."""

    def __init__(
        self,
        folder: Path,
        module: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        name: str,
        options: Options,
    ) -> None:
        """Use `open_vllm`."""
        super().__init__(folder, module, tokenizer, name=name)
        self._length = options.length
        self.engine = Engine(folder, options)
        self.weights = WatchedWeights(self.weights, self.engine)

    @cached_property
    def context(self) -> int:
        """Most tokens that prompt and response may have together, in the engine as well."""
        return min(super().context, self._length or UNLIMITED)

    def spread(self, processes: int) -> None:
        """BadInput for more than one process: the engine in this one holds the GPU."""
        if processes > 1:
            raise BadInput("processes", processes, "an engine is in the way", remedy="train without `vllm:`")

    def _draw(self, wanted: Sequence[Share], decoding: Decoding) -> list[list[Drawn]]:
        held = self.weights.held
        self.engine.wake(BASE if held is None else held, self.module)
        return self.engine.draw(wanted, decoding, self.eos_ids, self.context)


class WatchedWeights(Weights):
    """The module's weights; the engine sleeps as soon as a learner begins."""

    def __init__(self, plain: Weights, engine: Engine) -> None:
        """Goes on from what `plain` holds."""
        vars(self).update(vars(plain))
        self._engine = engine

    def begin(self, lora: Lora | None, *, seed: int) -> dict[str, Parameter]:
        """Make room on the GPU, and make the weights trainable."""
        self._engine.sleep()
        return super().begin(lora, seed=seed)


class Engine:
    """vLLM's engine in this process."""

    def __init__(self, folder: Path, options: Options) -> None:
        """Loads the base weights once, to lay out memory; they are replaced by the module's."""
        # The engine's worker must be in this process for weights to be handed over as tensors.
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        import vllm

        self._vllm = vllm
        self._llm = vllm.LLM(
            model=str(folder),
            dtype=options.number,
            gpu_memory_utilization=options.memory,
            max_model_len=options.length,
            enforce_eager=options.eager,
            enable_prefix_caching=True,
            enable_sleep_mode=True,
            logprobs_mode="processed_logprobs",
            disable_log_stats=True,
        )
        self._held: str | None = None
        """What the weights in the engine go by; None if it has none that count."""
        self._asleep = False

    def sleep(self) -> None:
        """Give memory back; what is in it is forgotten."""
        self._held = None
        if not self._asleep:
            self._llm.sleep(level=_DISCARD)
            self._asleep = True

    def wake(self, held: str, module: Module) -> None:
        """Be ready with the weights that the module holds, which go by `held`; empty if by nothing."""
        if held and held == self._held and not self._asleep:
            return
        # The engine's memory is mapped beside torch's: what torch keeps for later must be given back first.
        torch.cuda.empty_cache()
        if self._asleep:
            self._llm.wake_up(tags=["weights"])
        self._llm.apply_model(lambda inner: hand_over(module, inner))
        if self._asleep:
            self._llm.wake_up(tags=["kv_cache"])
            self._asleep = False
        self._llm.reset_prefix_cache()
        self._held = held

    def draw(
        self, wanted: Sequence[Share], decoding: Decoding, eos_ids: Sequence[int], context: int
    ) -> list[list[Drawn]]:
        """One row per seed of every share, in order."""
        prompts = [{"prompt_token_ids": list(share.ids)} for share in wanted for _ in share.seeds]
        settings = [
            self._settings(share, seed, decoding, eos_ids, context)
            for share in wanted
            for seed in share.seeds
        ]
        done = iter(self._llm.generate(prompts, settings, use_tqdm=False))
        return [[_drawn(next(done).outputs[0]) for _ in share.seeds] for share in wanted]

    def _settings(
        self, share: Share, seed: int, decoding: Decoding, eos_ids: Sequence[int], context: int
    ) -> Any:
        return self._vllm.SamplingParams(
            temperature=decoding.temperature,
            top_p=decoding.top_p,
            max_tokens=min(decoding.max_tokens, context - len(share.ids)),
            stop=list(decoding.stop) or None,
            stop_token_ids=list(eos_ids),
            seed=seed % SEED_RANGE,
            logprobs=0,
        )


def hand_over(module: Module, inner: Any) -> None:
    """Give the engine's model the module's weights; BadInput if some of its own are not among them.

    They would keep whatever stood in their memory before, and no sample would tell.
    """
    wanted = {name for name, _ in inner.named_parameters()}
    loaded = inner.load_weights(plain_weights(module, wanted))
    if loaded is not None and (missing := sorted(wanted - set(loaded))):
        raise BadInput(
            "vllm", missing[0], f"is one of {len(missing)} weights that the model here lacks", remedy=_WITHOUT
        )


def plain_weights(module: Module, also: Collection[str] = ()) -> Iterator[tuple[str, Tensor]]:
    """A module's weights by the names of its checkpoint, adapters merged; the module stays as it is.

    Tied weights come once, and once more under each of their other names that is in `also`: an engine has
    a head of its own where the checkpoint holds one, even if the configuration ties it.
    """
    parts, once = dict(module.named_modules()), {name for name, _ in module.named_parameters()}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        place, _, last = name.rpartition(".")
        if ".lora_" in name or (name not in once and name not in also):
            continue
        if not place.endswith(".base_layer"):
            yield name, parameter.detach()
            continue
        outer = place.removesuffix(".base_layer")
        with torch.no_grad():
            adapted = last == "weight"
            delta = parts[outer].get_delta_weight(ADAPTER_NAME) if adapted else 0
            yield f"{outer}.{last}", parameter + delta


def _drawn(output: Any) -> Drawn:
    ids = list(output.token_ids)
    rows = output.logprobs
    if rows is None or len(rows) != len(ids):
        raise BadInput("vllm", output.finish_reason, "gave no log-probabilities", remedy="update vllm")
    logprobs = [float(row[token].logprob) for row, token in zip(rows, ids, strict=True)]
    if output.finish_reason == "length":
        return Drawn(ids, logprobs, Stop.LENGTH)
    return Drawn(ids, logprobs, Stop.STOP_TEXT if isinstance(output.stop_reason, str) else Stop.END)
