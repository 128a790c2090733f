"""Whether sampling with int8 weights is faster: a model's own products are measured once on a machine.

What is drawn depends on the answer, so it is kept in the cache folder.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import Linear, Module
from torch.nn.functional import linear

from sharpen.core.records import Record
from sharpen.models.hf_linear import Int8Linear, available
from sharpen.models.probe import remembered

INT8_GAIN = 1.2
"""How much faster int8 weights must be than float32 for sampling to use them where it is asked to."""
ROWS = 64
REPEATS = 5
SECONDS = 0.3
"""After which a product is not repeated."""


class Gain(Record):
    """Speed of a model's products with int8 weights."""

    gain: float
    """As a multiple of float32."""


def int8_gain(module: Module) -> float:
    """Speed of all products of a module's linear layers with int8 weights as a multiple of float32.

    For a batch of 64 rows, with the threads that are set; 0 where this torch has no such products.
    """
    if not available():
        return 0.0
    layers = (layer for layer in module.modules() if isinstance(layer, Linear))
    shapes = Counter((layer.in_features, layer.out_features) for layer in layers)
    told = [torch.get_num_threads(), sorted(shapes.items())]
    return remembered("int8", told, Gain, partial(_measured, shapes)).gain


@torch.inference_mode()
def _measured(shapes: Counter[tuple[int, int]]) -> Gain:
    plain = rounded = 0.0
    for (inner, outer), count in shapes.items():
        generator = torch.Generator().manual_seed(0)
        weight = torch.randn(outer, inner, generator=generator)
        rows = torch.randn(ROWS, inner, generator=generator)
        one, other = _best(partial(linear, rows, weight), partial(Int8Linear(weight, None), rows))
        plain, rounded = plain + count * one, rounded + count * other
    return Gain(gain=round(plain / rounded, 3))


def _best(*works: Callable[[], Tensor]) -> list[float]:
    """Least seconds of each; they take turns."""
    best, began = [float("inf")] * len(works), time.perf_counter()
    for number in range(1 + REPEATS):
        for place, work in enumerate(works):
            start = time.perf_counter()
            work()
            best[place] = min(best[place], time.perf_counter() - start)
        if number and time.perf_counter() - began > SECONDS:
            break
    return best
