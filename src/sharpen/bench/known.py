"""Models, cards, jobs and rates by name, for computing what a run needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import TypeVar, get_type_hints

from pydantic import ValidationError

from sharpen.bench.capacity import Card, Job, Rates, Shape
from sharpen.bench.rows import Row
from sharpen.core.errors import BadInput
from sharpen.core.records import Record
from sharpen.core.spec import Spec

R = TypeVar("R", bound=Record)

SHAPES = {
    "7B": Shape(name="7B", parameters=7.6e9, layers=28, width=3584, key_heads=4, head=128),
    "70B": Shape(name="70B", parameters=70.6e9, layers=80, width=8192, key_heads=8, head=128),
}
"""Those of Qwen2.5-7B and Llama-3.1-70B."""

_H100 = Card(
    name="H100 SXM", memory=80e9, bandwidth=3.35e12, flops=989e12, link=450e9, network=50e9, cores=16
)
CARDS = {
    "H100": _H100,
    "H200": _H100.model_copy(update={"name": "H200 SXM", "memory": 141e9, "bandwidth": 4.8e12}),
}
"""By their data sheets; NVLink 4 in one direction, 400 Gbit/s of network and 16 CPU cores a card."""

JOBS = {
    "paper": Job(name="paper", rounds=200, tasks=512, samples=16, prompt=512, response=2048),
    "internet": Job(name="internet", rounds=610, tasks=16_384, samples=8, prompt=512, response=1024),
}
"""A run of reinforcement learning as papers make it, and one pass over ten million tasks."""

PUBLISHED = Rates(name="published", decode=0.5, train=0.237, driver_ms=0.13)
"""What others reach on an H100: trained tokens of prime-rl (16,384 tokens a sequence); decoding is a cautious
half of the limit, where SGLang's 16,200 tokens/s of an 8B model are 0.6 to 0.9 of it."""


def chosen(known: Mapping[str, R], written: str, kind: str) -> R:
    """`NAME` or `NAME?field=value&...`: a known record, some of its fields changed; BadInput otherwise."""
    spec = Spec.parse(written, kind=kind)
    if spec.name not in known:
        raise BadInput(kind, spec.name, "is not known", remedy=f"one of: {', '.join(known)}")
    base = known[spec.name]
    hints = get_type_hints(type(base), include_extras=True)
    accepted = {name: hints[name] for name in type(base).model_fields}
    try:
        return base.model_copy(update=spec.bind(accepted, kind=kind))
    except ValidationError as error:
        (problem, *_) = error.errors()
        field = ".".join(map(str, problem["loc"]))
        raise BadInput(f"{kind} {field}", problem["input"], problem["msg"], remedy="change it") from error


def rates_of(rows: Sequence[Row], name: str) -> Rates:
    """The shares in rows of `sharpen bench sampler`, `learner` and `loop`; BadInput where one is missing.

    Of training the supervised case counts: no prompt is shared there, so that all tokens are computed.
    """
    shares = [row.share_of_limit for row in rows]
    return Rates(
        name=name,
        decode=_median(rows, "tokens/s", "", shares),
        train=_median(rows, "trained tokens/s", "SFT", shares),
        driver_ms=_median(rows, "orchestration, ms a sample", "", [row.ours for row in rows]),
    )


def _median(rows: Sequence[Row], metric: str, case: str, values: Sequence[float | None]) -> float:
    """Of the values of the rows with this metric and such a case."""
    found = [
        value
        for row, value in zip(rows, values, strict=True)
        if value is not None and row.metric == metric and case in row.case
    ]
    if not found:
        raise BadInput(
            "rates", metric, "is in none of the files", remedy="`sharpen bench sampler|learner|loop --json`"
        )
    return median(found)
