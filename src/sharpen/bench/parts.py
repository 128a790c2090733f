"""The parts of the benchmark by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpen.bench.rows import Row
from sharpen.core.errors import BadInput

if TYPE_CHECKING:
    from sharpen.models.hf import HFModel


def measured(part: str, model: str, *, threads: int | None, quick: bool) -> list[Row]:
    """Rows of one part; BadInput for a model that is not local."""
    match part:
        case "judges":
            from sharpen.bench.judges import run as judges

            return judges(quick=quick)
        case "loop":
            from sharpen.bench.loop import run as loop
            from sharpen.bench.overlap import run as overlap

            rows = loop(model, threads=threads, quick=quick)
            return rows + overlap(local(model, threads), quick=quick)
        case "sampler":
            from sharpen.bench.sampler import run as sampler

            return sampler(local(model, threads), quick=quick)
        case "learner":
            from sharpen.bench.learner import run as learner

            return learner(local(model, threads), quick=quick)
        case _:
            from sharpen.bench.search import run as search

            return search(local(model, threads), quick=quick)


def local(name: str, threads: int | None) -> HFModel:
    """Open a model whose weights are here."""
    from sharpen.models.hf import HFModel
    from sharpen.models.source import open_model

    opened = open_model(name, threads=threads, dtype="float32")
    if not isinstance(opened, HFModel):
        raise BadInput("model", name, "has no weights here", remedy="take one that `sharpen models` lists")
    return opened
