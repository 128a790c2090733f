"""Sampling beside `transformers`: the same prompts, the same number of tokens of every row.

Our rows are drawn as the model draws them, with ends of its own; what length each one has is then told to
the peers, which stop each row there, so that all do the same useful work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sharpen.bench.limits import Limits, probe
from sharpen.bench.llama_cpp import LlamaCpp, exported, same_greedy
from sharpen.bench.rows import Peer, Row, compared, rate
from sharpen.core.policy import Decoding, PromptForm, Shot
from sharpen.models.base import Prompt

if TYPE_CHECKING:
    import torch

    from sharpen.models.hf import HFModel

LEVELS = (1, 2, 3, 4)
LARGE = 50_000_000
GENERATE = "transformers.generate"
CONTINUOUS = "transformers, continuous batching"
PADDING = 0
PAGE, BATCH_TOKENS = 32, 1024
"""Of continuous batching: tokens in a block of its cache, and at most so many in one forward pass."""


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


@dataclass(frozen=True)
class Case:
    """Prompts and how many samples of each."""

    name: str
    texts: Sequence[str]
    samples: int
    decoding: Decoding
    even: bool = False
    """Whether all rows go on to the longest length."""

    @property
    def prompts(self) -> list[Prompt]:
        """As the model takes them; seeds differ from row to row."""
        return [
            Prompt(text, tuple(range(place * self.samples, (place + 1) * self.samples)))
            for place, text in enumerate(self.texts)
        ]


def run(model: HFModel, *, quick: bool) -> list[Row]:
    """All cases; the comparison of tokens comes first."""
    from sharpen.bench.int8 import int8_rows
    from sharpen.bench.refill import refill_rows

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


def prompts_for(model: HFModel, count: int) -> list[str]:
    """Questions of several lengths in the form the model is at its best with; neighbours differ in level."""
    from sharpen.models.form import default_form
    from sharpen.tasks.source import load_tasks

    shots = default_form(model.name).shots
    sets = [load_tasks(f"chain?level={level}", train=count + shots, val=1, test=1).train for level in LEVELS]
    known = [Shot(question=task.question, response=task.solution or task.answer) for task in sets[0][:shots]]
    form = PromptForm(shots=tuple(known))
    mixed = [task for level in zip(*(tasks[shots:] for tasks in sets), strict=True) for task in level]
    return [form.text(task) for task in islice(mixed, count)]


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


def generated(model: HFModel, ids: torch.Tensor, mask: torch.Tensor, **options: Any) -> torch.Tensor:
    """What `generate` gives, prompts included."""
    import torch

    with torch.inference_mode():
        whole: torch.Tensor = model.module.generate(ids, attention_mask=mask, pad_token_id=PADDING, **options)
    return whole


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


def drawn(model: HFModel, case: Case) -> list[Sequence[int]]:
    """Tokens of every row, as we draw them."""
    if not case.even:
        found = model.sample(case.prompts, case.decoding)
        return [sample.token_ids for completions in found for sample in completions.samples]
    from sharpen.models.hf_decode import Limits as Ends
    from sharpen.models.hf_decode import Share
    from sharpen.models.hf_text import StopWatch

    shares = [Share(model.encode(prompt.text), prompt.seeds) for prompt in case.prompts]
    watch = StopWatch(model.text, (), model.head.vocabulary, model.module.device)
    rows = model.sampler.draw(shares, case.decoding, Ends((), model.context), watch)
    return [row.token_ids for share in rows for row in share]


class Generate:
    """`transformers.generate` on a case, with given lengths."""

    name = GENERATE

    def __init__(self, model: HFModel, case: Case, lengths: Sequence[int]) -> None:
        """Prompts are padded on the left, as its documentation asks for."""
        import torch

        rows = [model.encode(prompt.text) for prompt in case.prompts]
        width = max(map(len, rows))
        device = model.module.device
        self.model, self.samples, self.width = model, case.samples, width
        self.ids = torch.tensor([[PADDING] * (width - len(row)) + list(row) for row in rows], device=device)
        self.mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device)
        self.lengths = torch.tensor(lengths, device=device)

    def run(self) -> int:
        """Draw all rows; the number of useful tokens."""
        self._generate(int(self.lengths.max()))
        return int(self.lengths.sum())

    def warm(self) -> None:
        """Whatever is done only once."""
        self._generate(2)

    def _generate(self, longest: int) -> None:
        from transformers import StoppingCriteriaList

        generated(
            self.model,
            self.ids,
            self.mask,
            do_sample=True,
            top_k=0,
            max_new_tokens=longest,
            num_return_sequences=self.samples,
            eos_token_id=None,
            stopping_criteria=StoppingCriteriaList([self._ended]),
        )

    def _ended(self, ids: torch.Tensor, scores: object, **more: object) -> torch.Tensor:
        """Mask [rows] of those that have their length."""
        return ids.shape[1] - self.width >= self.lengths


class Continuous:
    """Continuous batching of `transformers` on a case whose rows have equal length."""

    name = CONTINUOUS

    def __init__(self, model: HFModel, case: Case) -> None:
        """Every sample is a request of its own."""
        rows = [list(model.encode(prompt.text)) for prompt in case.prompts for _ in prompt.seeds]
        self.model, self.rows, self.longest = model, rows, case.decoding.max_tokens

    def run(self) -> int:
        """Draw all rows; the number of tokens."""
        return self._generate(self.rows, self.longest)

    def warm(self) -> None:
        """Whatever is done only once."""
        self._generate(self.rows[:2], 2)

    def _generate(self, rows: list[list[int]], longest: int) -> int:
        from transformers import ContinuousBatchingConfig, GenerationConfig

        # Left alone, it takes nearly all memory there is for its cache.
        blocks = 2 * sum(-(-(len(row) + longest) // PAGE) for row in rows)
        room = ContinuousBatchingConfig(page_size=PAGE, num_blocks=blocks, max_batch_tokens=BATCH_TOKENS)
        config = GenerationConfig(
            max_new_tokens=longest, do_sample=True, top_k=0, eos_token_id=-1, pad_token_id=PADDING
        )
        attention = self.model.module.config._attn_implementation
        try:
            found = self.model.module.generate_batch(
                rows, generation_config=config, continuous_batching_config=room, warmup=False
            )
        finally:
            self.model.module.set_attn_implementation(attention)
        return sum(len(request.generated_tokens) for request in found.values())
