"""Sampling more rows than are decoded at a time: others come in as rows end, beside batch after batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sharpen.bench.limits import Limits
from sharpen.bench.rows import Peer, Row, compared, rate
from sharpen.bench.sampling import GENERATE, LARGE, Case, Generate, drawn, prompts_for
from sharpen.core.policy import Decoding, PromptForm

if TYPE_CHECKING:
    from sharpen.models.hf import HFModel

BATCHES = 4
SAMPLES = 4
OWN = "ours, batch after batch"


def refill_rows(model: HFModel, limits: Limits, *, longest: int, repeats: int) -> list[Row]:
    """Ours beside the same batches one after another, by us and by `generate`."""
    at_once = 16 if model.parameters > LARGE else 64
    texts = prompts_for(model, BATCHES * at_once // SAMPLES)
    # Of like length together, as both would have them.
    texts = sorted(texts, key=lambda text: len(model.encode(text)))
    case = Case("", texts, SAMPLES, Decoding(temperature=1.0, max_tokens=longest, stop=PromptForm().stop))
    parts = [replace(case, texts=part) for part in _split(texts, at_once // SAMPLES)]
    lengths = [[len(row) for row in drawn(model, part)] for part in parts]
    peers = [Generate(model, part, each) for part, each in zip(parts, lengths, strict=True)]
    peers[0].warm()

    def ours() -> int:
        model.sampler.most_rows = at_once
        try:
            return sum(map(len, drawn(model, case)))
        finally:
            model.sampler.most_rows = before

    before = model.sampler.most_rows
    flat = [length for each in lengths for length in each]
    context = sum(len(model.encode(text)) for text in texts) / len(texts) + sum(flat) / len(flat) / 2
    return compared(
        f"{model.name}: {len(flat)} rows, {at_once} at a time",
        "tokens/s",
        rate(ours),
        [
            Peer(GENERATE, rate(lambda: sum(peer.run() for peer in peers))),
            Peer(OWN, rate(lambda: sum(len(row) for part in parts for row in drawn(model, part)))),
        ],
        repeats=repeats,
        limit=limits.decode(model, at_once, context),
        note=f"{min(flat)} to {max(flat)} tokens a row, {sum(flat) / len(flat):.0f} on average",
    )


def _split(texts: Sequence[str], size: int) -> list[Sequence[str]]:
    return [texts[start : start + size] for start in range(0, len(texts), size)]
