"""Weights, gradients and moments spread over processes, one GPU each: FSDP2 behind the same learner.

Every process runs the same training: the same order of examples, the same seeds, the same schedule. Of a
step each takes its share of the units, and gradients are summed as each needs them for its part of the
weights. Up to rounding the step is the one that a single process makes. What is special to this is here: how
a decoder is spread, how a step's examples are dealt out, and how processes find each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn import Module, ModuleList

from sharpen.core.errors import BadInput
from sharpen.learners.batch import Example, units
from sharpen.learners.loss import token_logprobs
from sharpen.learners.optim import whole
from sharpen.learners.packing import Layout, Micro, micro_batches
from sharpen.learners.training import Tokens, Training
from sharpen.models.hf_head import Head, mixed

PATIENCE = timedelta(minutes=10)
"""How long a process waits for the others before it gives up."""


class Place(NamedTuple):
    """One process among those that train together."""

    rank: int
    size: int


class Among(NamedTuple):
    """One process and the way to the others."""

    place: Place
    mesh: DeviceMesh


@contextmanager
def met(place: Place, meeting: Path, device: torch.device) -> Iterator[Among]:
    """Find the others by a file that all can write, and part from them at the end."""
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(
        backend, init_method=f"file://{meeting}", rank=place.rank, world_size=place.size, timeout=PATIENCE
    )
    try:
        yield Among(place, init_device_mesh(device.type, (place.size,)))
    finally:
        dist.destroy_process_group()


class Scorer(Module):
    """A decoder up to the log-probabilities of given tokens, as one module: what hooks of a spread need."""

    def __init__(self, head: Head) -> None:
        """Around a head's module; nothing is copied."""
        super().__init__()
        self.decoder = head.module
        self._head = head

    def forward(self, micro: Micro, packed: bool) -> Tensor:
        """Log-probabilities [trained] of a pass."""
        return token_logprobs(self._head, micro, packed=packed)


class Spread:
    """A decoder whose weights lie in parts on several processes."""

    def __init__(self, head: Head, among: Among) -> None:
        """Spread the weights in place: layer by layer, then all that is left. BadInput without layers."""
        self.place, mesh = among
        self._head = head
        self._scorer = Scorer(head)
        _ = head.splits  # found out on whole weights
        for layer in layers_of(head.module):
            _shard(layer, mesh)
        _shard(self._scorer, mesh)

    def gradients(self, settings: Training, examples: Sequence[Example], layout: Layout) -> float:
        """Add the gradients of a step's loss to those that are there; return the loss, the same everywhere.

        All make as many passes as the one with the most; one that only keeps step counts nothing.
        """
        weighted, divisor = settings.normalised(examples)
        own = self._passes(settings, dealt(weighted, self.place), layout)
        spare = own or self._passes(settings, units(weighted)[0], layout)
        total = torch.zeros(())
        for number in range(int(self._reduced(torch.tensor(len(own)), dist.ReduceOp.MAX))):
            part = self._loss(settings, spare[number % len(spare)], layout) / divisor
            part = part if number < len(own) else part * 0
            part.backward()  # type: ignore[no-untyped-call]
            total += part.detach().cpu()
        return float(self._reduced(total, dist.ReduceOp.SUM))

    def _passes(self, settings: Training, examples: Sequence[Example], layout: Layout) -> list[Micro]:
        if not examples:
            return []
        return list(
            micro_batches(
                examples,
                packed=layout.packed,
                micro_tokens=settings.micro_tokens,
                device=self._head.module.device,
                shared=layout.shared,
            )
        )

    def _loss(self, settings: Training, micro: Micro, layout: Layout) -> Tensor:
        with mixed(self._head.module.device):
            logprobs = self._scorer(micro, layout.packed)
            return settings.objective.loss(Tokens(logprobs, micro.weights, micro.inputs, micro.documents))

    def gathered(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
        """The whole weights in the first process, one by one; None in the others."""
        found = {}
        for name, parameter in parameters.items():
            value = whole(parameter.detach())
            if self.place.rank == 0:
                found[name] = value.cpu()
        return found if self.place.rank == 0 else None

    def any(self, said: bool) -> bool:
        """Whether one of the processes says so."""
        return bool(self._reduced(torch.tensor(int(said)), dist.ReduceOp.MAX))

    def agree(self, number: int) -> bool:
        """Whether all processes have the same number."""
        most = self._reduced(torch.tensor(number), dist.ReduceOp.MAX)
        return int(most) == int(self._reduced(torch.tensor(number), dist.ReduceOp.MIN))

    def _reduced(self, value: Tensor, how: dist.ReduceOp.RedOpType) -> Tensor:
        there = value.to(self._head.module.device)
        dist.all_reduce(there, how)
        return there


def _shard(module: Module, mesh: DeviceMesh) -> None:
    """Spread a module's weights; their gradients are summed over processes, not averaged."""
    part = fully_shard(module, mesh=mesh)
    part.set_gradient_divide_factor(1.0)
    part.set_force_sum_reduction_for_comms(True)


def dealt(examples: Sequence[Example], place: Place) -> list[Example]:
    """A process's share: neighbours stay neighbours, so that linked examples stay together."""
    found = units(examples)
    first, end = (len(found) * rank // place.size for rank in (place.rank, place.rank + 1))
    return [example for unit in found[first:end] for example in unit]


def layers_of(module: Module) -> ModuleList:
    """The decoder's layers: its longest list of modules."""
    lists = [part for part in module.modules() if isinstance(part, ModuleList)]
    if not lists:
        raise BadInput(
            "model", type(module).__name__, "has no list of layers to spread", remedy="train it on one device"
        )
    return max(lists, key=len)
