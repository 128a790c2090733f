"""Frozen batches of random tokens for comparing learners: only lengths matter for speed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from sharpen.core.seeds import random_for
from sharpen.learners.batch import Example

if TYPE_CHECKING:
    from random import Random

    from sharpen.learners.training import Training
    from sharpen.models.hf import HFModel

GROUP = 8
NOISE = 0.3
"""How far old and reference log-probabilities lie around the model's own."""
LONGEST = 64


class Frozen(NamedTuple):
    """A step's examples, our settings for it, and whose loss is the same."""

    name: str
    settings: Training
    examples: list[Example]

    @property
    def tokens(self) -> int:
        """Tokens that it trains on, prompts included, however often they are computed."""
        return sum(example.length for example in self.examples)

    @property
    def distinct(self) -> int:
        """Tokens that must be computed at least: a prompt once for all that answer it."""
        prompts = {tuple(example.prompt_ids) for example in self.examples}
        return sum(map(len, prompts)) + sum(len(example.response_ids) for example in self.examples)


def frozen(model: HFModel, kind: str, *, size: int) -> Frozen:
    """A batch of one kind, `size` times the smallest; it depends on model and arguments alone."""
    return {"SFT": _supervised, "DPO": _pairs, "GRPO": _groups}[kind](model, size)


def _supervised(model: HFModel, size: int) -> Frozen:
    """Ragged: half of the rows are short, a few are long."""
    from sharpen.learners.sft import SFT

    rng = random_for(0, "sft")
    examples = []
    for place in range(8 * size):
        longest = 4 * LONGEST if place % 8 == 0 else LONGEST // 2
        prompt, response = _ids(model, rng, 16), _ids(model, rng, rng.randint(longest // 2, longest))
        examples.append(Example(prompt, response, (1.0,) * len(response)))
    return Frozen("SFT, ragged lengths", SFT(epochs=1), examples)


def _pairs(model: HFModel, size: int) -> Frozen:
    """Both sides of a pair share a prompt that is as long as they are."""
    from sharpen.learners.preference import Facts, Preference, linked_pair

    rng = random_for(0, "pairs")
    examples = []
    for place in range(4 * size):
        prompt = _ids(model, rng, LONGEST)
        both = [_answer(model, rng, prompt) for _ in range(2)]
        scored = model.logprobs([(one.prompt_ids, one.response_ids) for one in both])
        examples += linked_pair(both, [_around(row, rng) for row in scored], Facts(), link=f"pair {place}")
    return Frozen("DPO, shared prompts", Preference(epochs=1), examples)


def _groups(model: HFModel, size: int) -> Frozen:
    """Groups of 8 at a prompt that is at least as long as their answers."""
    from sharpen.learners.on_policy import with_inputs
    from sharpen.learners.policy_gradient import PolicyGradient
    from sharpen.learners.training import Normalisation

    rng = random_for(0, "groups")
    examples = []
    for _ in range(size):
        prompt = _ids(model, rng, LONGEST)
        for _ in range(GROUP):
            plain = _answer(model, rng, prompt)
            (own,) = model.logprobs([(prompt, plain.response_ids)])
            old, reference = _around(own, rng), _around(own, rng)
            examples.append(with_inputs(plain, old, reference, [rng.gauss(0, 1)]))
    settings = PolicyGradient(
        epochs=1, ceiling=None, kl=0.05, normalisation=Normalisation.SEQUENCE, micro_tokens=4096
    )
    return Frozen(f"GRPO, {GROUP} answers a prompt", settings, examples)


def _answer(model: HFModel, rng: Random, prompt: tuple[int, ...]) -> Example:
    response = _ids(model, rng, rng.randint(LONGEST // 4, LONGEST))
    return Example(prompt, response, (1.0,) * len(response))


def _ids(model: HFModel, rng: Random, count: int) -> tuple[int, ...]:
    return tuple(rng.randrange(4, model.head.vocabulary) for _ in range(count))


def _around(values: Sequence[float], rng: Random) -> tuple[float, ...]:
    return tuple(value + rng.gauss(0, NOISE) for value in values)
