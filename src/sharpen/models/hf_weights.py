"""Which weights a module holds: the base's, a learner's full set, or the base with a LoRA adapter."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import Parameter
from transformers import PreTrainedModel

from sharpen.core.errors import BadInput
from sharpen.core.records import Record
from sharpen.models.hf_file import read_facts, read_tensors, save_tensors

ADAPTER_NAME = "default"


class Content(StrEnum):
    """What a weights file holds."""

    FULL = "full"
    ADAPTER = "adapter"


class Lora(Record):
    """Shape of an adapter on all linear layers."""

    rank: int
    alpha: float


class Header(Record):
    """The facts of a weights file."""

    content: Content
    base: str
    """Fingerprint of the model it was trained from."""
    lora: Lora | None = None


class Weights:
    """The weights slot of a module. Loading what is already there costs one look at a file's header."""

    def __init__(
        self, module: PreTrainedModel, *, fingerprint: Callable[[], str], fresh: Callable[[], PreTrainedModel]
    ) -> None:
        """`fresh` reads the base model again from its folder."""
        self.module = module
        self._fingerprint = fingerprint
        self._fresh = fresh
        self._held: str | None = None
        """Digest of the loaded file; None for the base; empty while a learner is at work."""
        self._base_intact = True
        self._adapter: Adapter | None = None

    @property
    def lora(self) -> Lora | None:
        """Shape of the adapter that is in place, if one is."""
        return self._adapter.lora if self._adapter else None

    @property
    def held(self) -> str | None:
        """Digest of the weights in place; None for the base."""
        return self._held

    def load(self, path: Path | None) -> None:
        """Put a file's weights in place, bit by bit, or the base's.

        Raises BadInput for weights of another model, Damaged for a file that cannot be read.
        """
        if path is None:
            if self._held is not None:
                self._drop_adapter()
                self._restore_base()
                self._held = None
            return
        facts, digest = read_facts(path)
        if digest != self._held:
            self._put(path, Header.model_validate(facts))
            self._held = digest

    def _put(self, path: Path, header: Header) -> None:
        if header.base != self._fingerprint():
            raise BadInput(
                "weights",
                str(path),
                "was trained from another model",
                remedy="use it with the model of its run, or export it and open that folder as a model",
            )
        self._held = ""
        if header.lora is None:
            self._drop_adapter()
            self._base_intact = False
        else:
            self._restore_base()
            self._place_adapter(header.lora)
        copy_into(self.parameters(), read_tensors(path), path)

    def begin(self, lora: Lora | None, *, seed: int) -> dict[str, Parameter]:
        """Make the weights trainable and return them by name; what is held counts as unknown until `save`.

        A new adapter starts as no change, with its inner matrices drawn from `seed`. Raises BadInput if an
        adapter is asked for on changed weights, or the reverse.
        """
        self._check_continues(lora)
        if lora is not None and self._adapter is None:
            self._place_adapter(lora)
            initialise(self.parameters(), seed)
        self._held = ""
        self._base_intact = self._base_intact and lora is not None
        self.module.requires_grad_(False)
        parameters = self.parameters()
        for parameter in parameters.values():
            parameter.requires_grad_(True)
        return parameters

    def _check_continues(self, lora: Lora | None) -> None:
        if self._adapter is not None and lora != self._adapter.lora:
            raise BadInput(
                "lora_rank",
                lora and lora.rank,
                f"the start weights are an adapter of rank {self._adapter.lora.rank}",
                remedy="keep its rank and alpha, or start from the base",
            )
        if lora is not None and not self._base_intact:
            raise BadInput(
                "lora_rank",
                lora.rank,
                "the start weights are a full set",
                remedy="start from the base, or train the full set",
            )

    def save(self, path: Path, values: Mapping[str, Tensor] | None = None) -> str:
        """Write the trained weights; the module then counts as holding that file. Returns its digest.

        values: the weights by name, where the module does not hold them whole.
        """
        content = Content.FULL if self._adapter is None else Content.ADAPTER
        header = Header(content=content, base=self._fingerprint(), lora=self.lora)
        self._held = save_tensors(path, values or self.parameters(), header.model_dump(mode="json"))
        return self._held

    def parameters(self) -> dict[str, Parameter]:
        """What a weights file holds, by name: the adapter's matrices if there is one, else all weights."""
        named = dict(self.module.named_parameters())
        if self._adapter is None:
            return named
        return {name.replace(f".{ADAPTER_NAME}", ""): p for name, p in named.items() if ".lora_" in name}

    def merge(self) -> None:
        """Fold the adapter into the weights; the module then holds no file's weights."""
        if self._adapter is not None:
            self._adapter.merge()
            self._adapter = None
            self._base_intact = False
            self._held = ""

    def write_adapter(self, target: Path) -> None:
        """Write the adapter as a peft folder; BadInput if there is none."""
        if self._adapter is None:
            raise BadInput(
                "merged", False, "these weights are no adapter", remedy="export with merged weights"
            )
        self._adapter.write(target, self.parameters())

    def _place_adapter(self, lora: Lora) -> None:
        if self._adapter is None or self._adapter.lora != lora:
            self._drop_adapter()
            self._adapter = Adapter(self.module, lora)
            self.module.eval()

    def _drop_adapter(self) -> None:
        if self._adapter is not None:
            self._adapter.remove()
            self._adapter = None

    def _restore_base(self) -> None:
        if not self._base_intact:
            self._drop_adapter()
            self._held = ""
            copy_into(
                dict(self.module.named_parameters()), dict(self._fresh().named_parameters()), "the base"
            )
            self._base_intact = True


class Adapter:
    """LoRA matrices on every linear layer of a module except its head; the module's own weights stay."""

    def __init__(self, module: PreTrainedModel, lora: Lora) -> None:
        """Wrap the linear layers in place."""
        from peft import LoraConfig, LoraModel

        self.lora = lora
        self._config = LoraConfig(
            r=lora.rank,
            lora_alpha=lora.alpha,
            target_modules="all-linear",
            lora_dropout=0.0,
            task_type="CAUSAL_LM",
        )
        self._wrapper = LoraModel(module, self._config, ADAPTER_NAME)

    def remove(self) -> None:
        """Unwrap the linear layers, unchanged."""
        self._wrapper.unload()

    def merge(self) -> None:
        """Unwrap the linear layers with the adapter added to them."""
        self._wrapper.merge_and_unload()

    def write(self, target: Path, matrices: Mapping[str, Tensor]) -> None:
        """Write what `PeftModel.from_pretrained` reads."""
        from safetensors.torch import save_file

        target.mkdir(parents=True, exist_ok=True)
        named = {f"base_model.model.{name}": m.detach().cpu().contiguous() for name, m in matrices.items()}
        save_file(named, target / "adapter_model.safetensors", metadata={"format": "pt"})
        self._config.save_pretrained(str(target))


def initialise(matrices: Mapping[str, Tensor], seed: int) -> None:
    """Draw the inner matrices (A) as peft does, from a seed of their own; the outer ones (B) become zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name in sorted(matrices):
            matrix = matrices[name]
            if ".lora_B" in name:
                matrix.zero_()
            else:
                bound = 1 / math.sqrt(matrix.shape[1])
                matrix.copy_(torch.empty(matrix.shape).uniform_(-bound, bound, generator=generator))


def copy_into(parameters: Mapping[str, Tensor], values: Mapping[str, Tensor], source: Path | str) -> None:
    """Copy values over parameters in place; BadInput if names or shapes differ."""
    if odd := next(_misfits(parameters, values), None):
        raise BadInput("weights", str(source), f"does not fit the model at {odd}", remedy="check the file")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(values[name])


def _misfits(parameters: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> Iterator[str]:
    for name in sorted(parameters.keys() | values.keys()):
        if name not in parameters or name not in values or parameters[name].shape != values[name].shape:
            yield name
