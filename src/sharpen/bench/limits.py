"""What this machine can do at most: memory bandwidth and matrix products, measured beside everything else.

Decoding a token reads every weight once and multiplies by each once, whatever the software. With N
parameters, b bytes each, B rows, k bytes of keys and values per token at S tokens, bandwidth W and F
operations per second:

    tokens/s <= min(B W / (N b + B S k), F / (2 N + 4 L d S)),        trained tokens/s <= F / 6 N
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from sharpen.bench.rows import Row

if TYPE_CHECKING:
    import torch

    from sharpen.models.hf import HFModel

COPIED = 32 << 20
"""Float32 numbers copied at once: far more than any cache holds."""
SIDE = 1024
"""Rows and columns of the matrix product."""
GPU_SIDE = 8192
SECONDS = 0.4


class Limits(NamedTuple):
    """The best rates that were seen."""

    bandwidth: float
    """Bytes read or written per second."""
    flops: float
    """Operations per second."""

    def rows(self) -> list[Row]:
        """For the table."""
        return [
            Row(case="machine", metric="memory, GB/s", ours=self.bandwidth / 1e9),
            Row(case="machine", metric="matrix product, GFLOP/s", ours=self.flops / 1e9),
        ]

    def best(self, other: Limits) -> Limits:
        """The larger of each."""
        return Limits(max(self.bandwidth, other.bandwidth), max(self.flops, other.flops))

    def decode(self, model: HFModel, rows: int, context: float) -> float:
        """Most tokens per second of so many rows whose context is so long on average."""
        from sharpen.models.hf_batches import cache_bytes_per_token

        config = model.module.config.get_text_config()
        kept = cache_bytes_per_token(model.module)
        weights = model.parameters * model.module.dtype.itemsize
        moved = rows * self.bandwidth / (weights + rows * context * kept)
        counted = 2 * model.parameters + 4 * config.num_hidden_layers * config.hidden_size * context
        return float(min(moved, self.flops / counted))

    def train(self, model: HFModel) -> float:
        """Most tokens per second through forward and backward pass."""
        return float(self.flops / (6 * model.parameters))


def probe(device: torch.device | None = None) -> Limits:
    """Measure now, for about a second, with the threads that are set: the CPU, or what the device can do.

    Products are in the numbers that learners compute in there: float32, on a GPU bfloat16.
    """
    import torch

    place = device or torch.device("cpu")
    gpu = place.type == "cuda"
    side, kind = (GPU_SIDE, torch.bfloat16) if gpu else (SIDE, torch.float32)
    source = torch.ones(COPIED, device=place)
    target = torch.empty_like(source)
    left, right = (torch.ones(side, side, device=place, dtype=kind) for _ in range(2))

    def settled(work: Callable[[], object]) -> Callable[[], None]:
        def whole() -> None:
            work()
            if gpu:
                torch.cuda.synchronize(place)

        return whole

    return Limits(
        bandwidth=_best(settled(lambda: target.copy_(source)), 2 * source.nbytes),
        flops=_best(settled(lambda: left @ right), 2 * side**3),
    )


def _best(work: Callable[[], object], amount: float) -> float:
    best, deadline = 0.0, time.perf_counter() + SECONDS
    while time.perf_counter() < deadline or not best:
        began = time.perf_counter()
        work()
        best = max(best, amount / (time.perf_counter() - began))
    return best
