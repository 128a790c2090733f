"""llama.cpp as a peer: it has the same weights, and draws what it is asked for."""

from __future__ import annotations

import pytest

from helpers_models import make_model
from sharpen.bench.llama_cpp import NAME, LlamaCpp, Wanted, exported, requests, same_greedy
from sharpen.bench.sampling import prompts_for
from sharpen.models.hf import HFModel


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    return make_model(tmp_path_factory.mktemp("models"))


def test_samples_share_a_request_unless_their_lengths_differ_too_much() -> None:
    prompt = tuple(range(10))
    assert requests([prompt], [5, 5]) == [Wanted(prompt, 2, 5)]
    assert requests([prompt, prompt[:1]], [1, 40, 2, 3]) == [
        Wanted(prompt, 1, 1),
        Wanted(prompt, 1, 40),
        Wanted(prompt[:1], 1, 2),
        Wanted(prompt[:1], 1, 3),
    ]


def test_greedy_tokens_are_equal_and_rows_have_their_lengths(model: HFModel) -> None:
    pytest.importorskip("gguf")
    pytest.importorskip("xllamacpp")
    texts = prompts_for(model, 4)
    with exported(model) as weights:
        assert weights is not None
        row = same_greedy(model, weights, texts, 6)
        peer = LlamaCpp(weights, [model.encode(text) for text in texts], [4, 9, 4, 4], threads=1)
        drawn = peer.drawn(temperature=1.0)
    assert (row.ours, row.peer, row.peer_name) == (4, 4, NAME)
    assert [len(tokens) for tokens in drawn] == [4, 9, 4, 4] and peer.run() == 21
    assert not weights.exists()


def test_a_model_that_cannot_be_written_has_no_file(
    model: HFModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(model.module.config, "model_type", "other")
    with caplog.at_level("INFO", logger="sharpen.bench"), exported(model) as weights:
        assert weights is None
    assert "without llama.cpp" in caplog.text
