"""Sampling with int8 weights beside float32: how much faster, and how far off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpen.bench.limits import Limits
from sharpen.bench.rows import Peer, Row, compared, rate
from sharpen.bench.sampling import Case, drawn

if TYPE_CHECKING:
    from sharpen.models.hf import HFModel

FLOAT = "ours, float32"


def int8_rows(model: HFModel, case: Case, limits: Limits, *, repeats: int) -> list[Row]:
    """None where the model is not in float32 on a CPU. The limit is that of float32."""
    from sharpen.models.hf_int8 import MOST_KL, Int8Sampler
    from sharpen.models.int8_probe import INT8_GAIN, int8_gain

    own = model.sampler
    if model.dtype != "float32" or model.module.device.type != "cpu" or isinstance(own, Int8Sampler):
        return []
    rounded = Int8Sampler(own, model.head, model.weights, model.text, model.context)
    twin, mismatch = rounded.twin()

    def with_int8() -> int:
        model.sampler = twin
        try:
            return sum(map(len, drawn(model, case)))
        finally:
            model.sampler = own

    context = len(model.encode(case.texts[0])) + case.decoding.max_tokens / 2
    return [
        Row(
            case=f"{model.name}: int8 weights",
            metric="products, x float32",
            ours=int8_gain(model.module),
            note=f"of this model, as measured once; used from {INT8_GAIN}",
        ),
        Row(
            case=f"{model.name}: int8 weights",
            metric="log-probability off by, a token",
            ours=mismatch.mean,
            note=f"{mismatch.tokens} tokens; KL {mismatch.kl:.2g}, used up to {MOST_KL}",
        ),
        *compared(
            f"{model.name}: {case.name}, int8",
            "tokens/s",
            rate(with_int8),
            [Peer(FLOAT, rate(lambda: sum(map(len, drawn(model, case)))))],
            repeats=repeats,
            limit=limits.decode(model, case.samples * len(case.texts), context),
        ),
    ]
