"""Prompts that are computed once for several responses give the loss and gradient of documents alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from helpers_models import FAMILIES, make_model
from sharpen.learners.batch import Example
from sharpen.learners.loss import token_loss
from sharpen.learners.losses import per_document
from sharpen.learners.packing import Micro, micro_batches, shares
from sharpen.learners.training import Tokens
from sharpen.models.hf import HFModel

CPU = torch.device("cpu")
WINDOW = 12
"""Of the families with sliding windows."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


class Squared:
    """An objective that needs whole documents, their inputs and weights."""

    def loss(self, tokens: Tokens) -> Tensor:
        told = (tokens.logprobs + tokens.inputs[:, 0]) * tokens.weights
        return per_document(told, tokens.documents).square().sum()


def example(prompt: int, length: int, place: int, link: str = "") -> Example:
    """One of a few prompts, and a response of its own with a token in the middle that carries no loss."""
    ids = tuple(4 + (7 * place + 3 * i) % 80 for i in range(length))
    mask = tuple(0.0 if i == 2 else 1.0 for i in range(length))
    inputs = tuple((0.1 * i + place,) for i in range(length))
    return Example(tuple(range(5, 9 + prompt)), ids, mask, 1.0 + place / 7, inputs, link)


def computed(model: HFModel, examples: list[Example], **how: Any) -> tuple[float, Tensor]:
    micros = list(micro_batches(examples, micro_tokens=60, device=CPU, **how))
    loss = sum((token_loss(model.head, m, Squared(), packed=how["packed"]) for m in micros), torch.zeros(()))
    grads = torch.autograd.grad(loss, list(model.module.parameters()), allow_unused=True)
    return float(loss.detach()), torch.cat([grad.flatten() for grad in grads if grad is not None])


def masked(examples: list[Example], shared: int) -> list[Micro]:
    found = micro_batches(examples, packed=True, micro_tokens=200, device=CPU, shared=shared)
    return [micro for micro in found if micro.mask is not None]


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_shared_prompts_equal_documents_alone(root: Path, family: str, packed: bool) -> None:
    """Of linked pairs, unlinked answers that stand apart, and documents that share nothing."""
    model = make_model(root, family)
    longest = shares(model.head)
    assert longest == (WINDOW if family in ("gemma3", "mistral") else 1024)
    linked = [example(3, 3 + place % 2, place, link=f"pair {place // 2}") for place in range(4)]
    apart = [example(place % 2 * 4, 2 + place % 3, place + 4) for place in range(5)]
    examples = [*apart, *linked, example(1, 4, 9)]
    assert masked(examples, longest)
    alone = computed(model, examples, packed=False)
    shared = computed(model, examples, packed=packed, shared=longest)
    assert shared[0] == pytest.approx(alone[0], rel=1e-5)
    assert torch.allclose(shared[1], alone[1], atol=1e-4 * float(alone[1].abs().max()))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9), st.sampled_from(["", "a", "b"])), min_size=1))
@settings(max_examples=60, deadline=None)
def test_every_token_with_loss_is_there_once(drawn: list[tuple[int, int, str]]) -> None:
    """Whatever is shared, sources precede targets, documents are whole, and links are kept together."""
    examples = [example(prompt, n, place, link) for place, (prompt, n, link) in enumerate(drawn)]
    micros = list(micro_batches(examples, packed=True, micro_tokens=40, device=CPU, shared=100))
    wanted = sorted((t, w) for e in examples for t, w in zip(e.response_ids, weights(e), strict=True) if w)
    found = [pair for m in micros for pair in zip(m.targets.tolist(), m.weights.tolist(), strict=True)]
    assert sorted((t, round(w, 4)) for t, w in found) == [(t, round(w, 4)) for t, w in wanted]
    for micro in micros:
        assert micro.documents.diff().min().item() >= 0 if len(micro.documents) > 1 else True
        assert micro.ids.shape == micro.positions.shape


def weights(one: Example) -> list[float]:
    return [value * one.weight for value in one.mask]


def test_prompts_are_shared_only_where_that_saves_enough() -> None:
    long, short = [example(9, 2, place) for place in range(4)], [example(0, 20, place) for place in range(2)]
    assert masked(long, 100) and not masked(short, 100)
    assert not masked(long, 0), "nothing may be shared on this model"
    assert not masked([*long, example(0, 50, 9)], 40), "a document is longer than the model's window"


def test_a_model_that_heeds_no_mask_shares_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(root)
    features = type(model.head).features
    monkeypatch.setattr(
        type(model.head),
        "features",
        lambda self, ids, positions=None, mask=None: features(self, ids, positions),
    )
    assert shares(model.head) == 0
