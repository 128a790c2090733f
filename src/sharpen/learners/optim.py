"""AdamW whose moments can be stored and taken up again, bit by bit."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import Parameter

MOMENTS = ("exp_avg", "exp_avg_sq")


def local(tensor: Tensor) -> Tensor:
    """The part of a tensor that is in this process."""
    here: Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return here


def whole(tensor: Tensor) -> Tensor:
    """A tensor with the parts of all processes, which must all ask for it."""
    full: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return full


class Moments:
    """AdamW over named parameters; weight decay touches matrices only."""

    def __init__(self, parameters: Mapping[str, Parameter], *, weight_decay: float) -> None:
        """No step has been taken; the learning rate is given with each step."""
        self.parameters = dict(parameters)
        self.steps = 0
        matrices = [p for p in self.parameters.values() if p.ndim > 1]
        others = [p for p in self.parameters.values() if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
        self._adam = torch.optim.AdamW([group for group in groups if group["params"]], fused=True)

    def local(self) -> dict[str, Tensor]:
        """The part of every parameter that is here, which is all of it unless it is spread."""
        return {name: local(parameter.detach()) for name, parameter in self.parameters.items()}

    def step(self, lr: float) -> None:
        """Apply the gradients, then drop them."""
        for group in self._adam.param_groups:
            group["lr"] = lr
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)
        self.steps += 1

    def clip(self, limit: float | None) -> float:
        """Scale the gradients down to the limit; return their norm before."""
        limit = float("inf") if limit is None else limit
        return float(whole(torch.nn.utils.clip_grad_norm_(list(self.parameters.values()), limit)))

    def tensors(self) -> dict[str, Tensor]:
        """Both moments of every parameter by name, the part that is here; empty before the first step."""
        return {
            f"{moment}/{name}": local(self._adam.state[parameter][moment])
            for name, parameter in self.parameters.items()
            if parameter in self._adam.state
            for moment in MOMENTS
        }

    def restore(self, tensors: Mapping[str, Tensor], steps: int) -> None:
        """Take up moments that `tensors` gave; KeyError if one is missing."""
        self.steps = steps
        for name, parameter in self.parameters.items():
            state = self._adam.state[parameter]
            state["step"] = torch.tensor(float(steps), device=parameter.device)
            for moment in MOMENTS:
                state[moment] = torch.zeros_like(parameter, requires_grad=False)
                local(state[moment]).copy_(tensors[f"{moment}/{name}"])

    def release(self) -> None:
        """Drop gradients that an interrupted step left behind."""
        self._adam.zero_grad(set_to_none=True)
