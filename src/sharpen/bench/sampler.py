"""Sampling beside `transformers`: the same prompts, the same number of tokens of every row.

Our rows are drawn as the model draws them, with ends of its own; what length each one has is then told to
the peers, which stop each row there, so that all do the same useful work.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sharpen.bench.int8 import int8_rows
from sharpen.bench.limits import Limits, probe
from sharpen.bench.llama_cpp import LlamaCpp, exported, same_greedy
from sharpen.bench.refill import refill_rows
from sharpen.bench.rows import Peer, Row, compared, rate
from sharpen.bench.sampling import GENERATE, LARGE, Case, Continuous, Generate, drawn, generated, prompts_for
from sharpen.core.policy import Decoding, PromptForm
from sharpen.models.base import Prompt

if TYPE_CHECKING:
    from sharpen.models.hf import HFModel


class Plan(NamedTuple):
    """Sizes of the cases."""

    repeats: int
    longest: int
    """Most tokens of a row."""
    compared: int
    """Prompts that are decoded greedily for the comparison of tokens."""
    steps: int
    """Tokens of a row in that comparison, and in the batch of rows of equal length."""


def plan(model: HFModel, *, quick: bool) -> Plan:
    """Sizes for a model: a large one has shorter rows."""
    if quick:
        return Plan(repeats=1, longest=16, compared=12, steps=8)
    large = model.parameters > LARGE
    return Plan(repeats=3, longest=64 if large else 96, compared=100, steps=12 if large else 32)


def run(model: HFModel, *, quick: bool) -> list[Row]:
    """All cases; the comparison of tokens comes first."""
    size, limits = plan(model, quick=quick), probe(model.module.device)
    texts = prompts_for(model, max(64, size.compared))
    rows = [same_tokens(model, texts[: size.compared], size.steps)]
    natural = Decoding(temperature=1.0, max_tokens=size.longest, stop=PromptForm().stop)
    cases = [
        Case("8 prompts x 8 samples", texts[:8], 8, natural),
        Case("1 prompt x 32 samples", texts[3:4], 32, natural),
        Case("64 prompts x 1 sample", texts[:64], 1, natural),
        Case(
            "64 rows of equal length", texts[3:4], 64, Decoding(temperature=1.0, max_tokens=size.steps), True
        ),
    ]
    with exported(model) as weights:
        if weights:
            rows.append(same_greedy(model, weights, texts[: size.compared], size.steps))
        for case in cases:
            rows += side_by_side(model, case, limits, size.repeats, weights)
    rows += refill_rows(model, limits, longest=size.longest, repeats=size.repeats)
    rows += int8_rows(model, cases[-1], limits, repeats=size.repeats)
    return [*limits.best(probe(model.module.device)).rows(), *rows]


def same_tokens(model: HFModel, texts: Sequence[str], steps: int) -> Row:
    """How many prompts get the same greedy tokens from us and from `generate`, alone each."""
    import torch

    ours = model.sample([Prompt(text, (0,)) for text in texts], Decoding(temperature=0, max_tokens=steps))
    same = 0
    for text, found in zip(texts, ours, strict=True):
        ids = torch.tensor([model.encode(text)], device=model.module.device)
        whole = generated(model, ids, torch.ones_like(ids), do_sample=False, max_new_tokens=steps)
        same += found.samples[0].token_ids == tuple(whole[0, ids.shape[1] :].tolist())
    return Row(
        case=f"greedy tokens, {len(texts)} prompts",
        metric="prompts with equal tokens",
        ours=same,
        peer=len(texts),
        peer_name=GENERATE,
        ratio=same / len(texts),
    )


def side_by_side(
    model: HFModel, case: Case, limits: Limits, repeats: int, weights: Path | None = None
) -> list[Row]:
    """A case's rows: ours beside every peer; llama.cpp is one where it has the weights."""
    prompts, longest = case.prompts, case.decoding.max_tokens
    lengths = [len(row) for row in drawn(model, case)]
    peers: list[Generate | Continuous | LlamaCpp] = [Generate(model, case, lengths)]
    if case.even:
        peers.append(Continuous(model, case))
    if weights:
        encoded = [model.encode(prompt.text) for prompt in prompts]
        peers.append(LlamaCpp(weights, encoded, lengths, threads=model.threads))
    for peer in peers:
        peer.warm()
    context = max(len(model.encode(prompt.text)) for prompt in prompts) + sum(lengths) / len(lengths) / 2
    spread = f"{min(lengths)} to {max(lengths)} tokens a row, {sum(lengths) / len(lengths):.0f} on average"
    return compared(
        f"{model.name}: {case.name}",
        "tokens/s",
        rate(lambda: sum(map(len, drawn(model, case)))),
        [Peer(peer.name, rate(peer.run)) for peer in peers],
        repeats=repeats,
        limit=limits.decode(model, len(lengths), context),
        note=spread if min(lengths) < longest else f"{longest} tokens a row",
    )
