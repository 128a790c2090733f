"""A linear layer with int8 weights, for CPUs.

Weights are rounded by output channel and inputs by row, both evenly about zero, so that a row's numbers do
not depend on its neighbours. The products are torch's own (fbgemm). They add pairs of products in 16 bits,
which 8 bits times 8 bits can overrun: so the two weights of such a pair come to 128 together at most. Inputs
that are large beside the others are made smaller, and their weights larger.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import pad

from sharpen.models.hf_kernels import kernels_for

STEPS, ZERO = 127, 128
SMALLEST = 1e-12
EASED = 0.4
"""How much of the unevenness of inputs is given to the weights (SmoothQuant's alpha, arXiv 2211.10438)."""


def available() -> bool:
    """Whether this torch has these products on this CPU."""
    return "fbgemm" in torch.backends.quantized.supported_engines and hasattr(torch, "quantize_per_channel")


class Int8Linear(Module):
    """A linear layer with int8 weights; inputs and outputs are float32."""

    def __init__(self, weight: Tensor, bias: Tensor | None, peaks: Tensor | None = None) -> None:
        """weight: [outputs, inputs]. peaks: [inputs], the largest magnitudes that were seen."""
        super().__init__()
        weight = weight.detach().float()
        self.share = torch.ones(weight.shape[1]) if peaks is None else _shares(peaks, weight)
        weight = weight / self.share
        scales = _largest_pairs(weight).clamp(min=SMALLEST).double() / STEPS
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
        rows, largest = self._levelled(inputs.reshape(-1, inputs.shape[-1]))
        product = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(
            rows, 1 / STEPS, ZERO, self.packed
        )
        product *= largest
        if self.bias is not None:
            product += self.bias
        told: Tensor = product.view(*inputs.shape[:-1], self.outputs)
        return told

    def _levelled(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Rows within -1 and 1, and what they were divided by, [rows, 1]: with kernels the same bits."""
        library = kernels_for(rows)
        if library is None:
            rows = rows * self.share
            largest = torch.linalg.vector_norm(rows, torch.inf, dim=1, keepdim=True).clamp_(min=SMALLEST)
            return rows.div_(largest), largest
        rows, largest = rows.contiguous(), torch.empty(len(rows), 1)
        level = torch.empty_like(rows)
        told = (level.data_ptr(), largest.data_ptr())
        library.level(rows.data_ptr(), self.share.data_ptr(), SMALLEST, *told, *rows.shape)
        return level, largest


def _largest_pairs(weight: Tensor) -> Tensor:
    """The most that two neighbours of one sign come to in every row: [outputs]."""
    pairs = pad(weight, (0, weight.shape[1] % 2)).reshape(len(weight), -1, 2)
    sums = [(sign * pairs).clamp(min=0).sum(dim=-1).amax(dim=-1) for sign in (1, -1)]
    return torch.maximum(*sums)


def _shares(peaks: Tensor, weight: Tensor) -> Tensor:
    """What inputs are multiplied by, and weights divided by: less of what is large beside the others."""
    others = weight.abs().amax(dim=0).clamp(min=SMALLEST**0.5)
    return others ** (1 - EASED) / peaks.clamp(min=SMALLEST**0.5) ** EASED
