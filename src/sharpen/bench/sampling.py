"""What the benchmarks of sampling draw: prompts of ours, by us and by `transformers`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

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


def drawn(model: HFModel, case: Case) -> list[Sequence[int]]:
    """Tokens of every row, as we draw them."""
    if not case.even:
        found = model.sample(case.prompts, case.decoding)
        return [sample.token_ids for completions in found for sample in completions.samples]
    from sharpen.models.hf_rows import Limits as Ends
    from sharpen.models.hf_rows import Share
    from sharpen.models.hf_text import StopWatch

    shares = [Share(model.encode(prompt.text), prompt.seeds) for prompt in case.prompts]
    watch = StopWatch(model.text, (), model.head.vocabulary)
    rows = model.sampler.draw(shares, case.decoding, Ends((), model.context), watch)
    return [row.token_ids for share in rows for row in share]


def generated(model: HFModel, ids: torch.Tensor, mask: torch.Tensor, **options: Any) -> torch.Tensor:
    """What `generate` gives, prompts included."""
    import torch

    with torch.inference_mode():
        whole: torch.Tensor = model.module.generate(ids, attention_mask=mask, pad_token_id=PADDING, **options)
    return whole


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
