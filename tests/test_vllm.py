"""Sampling through vLLM: what can be known without a GPU here, the rest where there is one."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers_models import make_model
from sharpen.core.errors import BadInput, Unavailable
from sharpen.models.base import Decoding, Prompt
from sharpen.models.form import default_form
from sharpen.models.hf_weights import Lora
from sharpen.models.source import open_model
from sharpen.models.vllm import BASE, Engine, Options, VllmModel, WatchedWeights, parse, plain_weights

GPU = pytest.mark.skipif(
    not torch.cuda.is_available() or find_spec("vllm") is None, reason="needs a GPU and the package vllm"
)


class Recorder:
    """Stands where the engine stands, and keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __getattr__(self, verb: str) -> Any:
        return lambda *args, **words: self.told.append(f"{verb} {words}" if words else verb)


def engine() -> tuple[Engine, Recorder]:
    made, recorder = Engine.__new__(Engine), Recorder()
    vars(made).update(_llm=recorder, _held=None, _asleep=False, _vllm=None)
    return made, recorder


def test_weights_go_over_with_the_adapter_merged(tmp_path: Path) -> None:
    model = make_model(tmp_path)
    names = [name for name, _ in model.module.named_parameters()]
    assert [name for name, _ in plain_weights(model.module)] == names
    for name, matrix in model.weights.begin(Lora(rank=2, alpha=4.0), seed=1).items():
        if ".lora_B" in name:
            torch.nn.init.normal_(matrix)
    handed = {name: tensor.clone() for name, tensor in plain_weights(model.module)}
    model.weights.merge()
    merged = dict(model.module.named_parameters())
    assert handed.keys() == merged.keys()
    assert all(torch.allclose(handed[name], merged[name], atol=1e-6) for name in merged)


def test_the_engine_gets_weights_when_they_change_and_sleeps_while_a_learner_works(tmp_path: Path) -> None:
    made, recorder = engine()
    model = make_model(tmp_path)
    made.wake(BASE, model.module)
    made.wake(BASE, model.module)
    assert recorder.told == ["apply_model", "reset_prefix_cache"], "once for the same weights"
    recorder.told.clear()
    WatchedWeights(model.weights, made).begin(None, seed=0)
    made.sleep()
    made.wake("", model.module)
    assert recorder.told == [
        "sleep {'level': 2}",
        "wake_up {'tags': ['weights']}",
        "apply_model",
        "wake_up {'tags': ['kv_cache']}",
        "reset_prefix_cache",
    ]
    recorder.told.clear()
    made.wake("", model.module)
    assert "apply_model" in recorder.told, "weights without a name are never taken for known"


def test_specs() -> None:
    assert parse("smollm2?memory=0.3&eager=true") == ("smollm2", Options(memory=0.3, eager=True))
    assert default_form("vllm:smollm2?memory=0.3") == default_form("smollm2")
    with pytest.raises(BadInput, match="memory"):
        parse("smollm2?memory=3")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so() -> None:
    with pytest.raises(Unavailable, match=r"vllm|GPU"):
        open_model("vllm:tiny", threads=1)


@GPU
def test_it_samples_as_the_module_does() -> None:
    prompts = [Prompt(f"Q: {n}+{n + 4}=?\nA:", (1, 2)) for n in range(3, 9)]
    greedy = Decoding(temperature=0.0, max_tokens=12, stop=("\n\n",))
    through, plain = (
        open_model("vllm:tiny?memory=0.2", threads=1),
        open_model("tiny", threads=1, device="cuda"),
    )
    assert isinstance(through, VllmModel)
    for one, other in zip(through.sample(prompts, greedy), plain.sample(prompts, greedy), strict=True):
        assert one.prompt_ids == other.prompt_ids
        assert [s.text for s in one.samples] == [s.text for s in other.samples]
    drawn = through.sample(prompts, Decoding(temperature=1.0, max_tokens=12))
    for done in drawn:
        for sample in done.samples:
            (own,) = plain.logprobs([(done.prompt_ids, sample.token_ids)])
            assert sample.logprobs is not None
            assert max(abs(a - b) for a, b in zip(own, sample.logprobs, strict=True)) < 0.1
