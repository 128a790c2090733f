"""A linear layer with int8 weights, for CPUs.

Weights are rounded by output channel and inputs by row, both evenly about zero, so that a row's numbers do
not depend on its neighbours. The products are torch's own (fbgemm). They add pairs of products in 16 bits,
which 8 bits times 8 bits could overrun: weights have 7 bits, inputs 8.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor
from torch.nn import Module

WEIGHT_STEPS = 63
INPUT_STEPS, INPUT_ZERO = 127, 128
SMALLEST = 1e-12


def available() -> bool:
    """Whether this torch has these products on this CPU."""
    return "fbgemm" in torch.backends.quantized.supported_engines and hasattr(torch, "quantize_per_channel")


class Int8Linear(Module):
    """A linear layer with int8 weights; inputs and outputs are float32."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """weight: [outputs, inputs]."""
        super().__init__()
        weight = weight.detach().float()
        scales = weight.abs().amax(dim=1).clamp(min=SMALLEST).double() / WEIGHT_STEPS
        zeros = torch.zeros(len(scales), dtype=torch.long)
        with warnings.catch_warnings():
            # Quantised tensors are to go from torch one day; `available` then says so.
            warnings.simplefilter("ignore", UserWarning)
            rounded = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
        self.packed = torch.ops.quantized.linear_prepack(rounded, None)
        self.bias = bias
        self.outputs = len(scales)

    def forward(self, inputs: Tensor) -> Tensor:
        """[..., inputs] -> [..., outputs]."""
        rows = inputs.reshape(-1, inputs.shape[-1])
        largest = torch.linalg.vector_norm(rows, torch.inf, dim=1, keepdim=True).clamp_(min=SMALLEST)
        product = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(
            rows / largest, 1 / INPUT_STEPS, INPUT_ZERO, self.packed
        )
        product *= largest
        if self.bias is not None:
            product += self.bias
        told: Tensor = product.view(*inputs.shape[:-1], self.outputs)
        return told
