"""Sampling through vLLM: by a stand-in of the package, and by the package itself where it can run."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

import fake_vllm
from helpers_models import make_model, make_model_folder
from sharpen.core.errors import BadInput, Unavailable
from sharpen.models.base import Completion, Decoding, Prompt
from sharpen.models.form import default_form
from sharpen.models.hf import HFModel
from sharpen.models.hf_read import read_module, read_tokenizer
from sharpen.models.hf_weights import Lora
from sharpen.models.source import open_model
from sharpen.models.vllm import Options, VllmModel, parse, plain_weights

needs_package = pytest.mark.skipif(
    find_spec("vllm") is None, reason="the package vllm is not installed: pip install 'sharpen[vllm]'"
)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU, and vLLM needs one")
PROMPTS = [Prompt(f"Q: {n}+{n + 4}=?\nA:", (1, 2)) for n in range(3, 6)]
GREEDY = Decoding(temperature=0.0, max_tokens=12, stop=("3",))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_model_folder(tmp_path)


def through(
    folder: Path, monkeypatch: pytest.MonkeyPatch, **options: object
) -> tuple[VllmModel, fake_vllm.LLM]:
    """The folder's model, sampled through the stand-in."""
    monkeypatch.setitem(sys.modules, "vllm", fake_vllm)
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "1")
    module = read_module(folder, torch.float32, "cpu")
    how = Options(number="float32", **options)  # type: ignore[arg-type]
    model = VllmModel(folder, module, read_tokenizer(folder), name="m", options=how)
    engine: fake_vllm.LLM = model.engine._llm
    return model, engine


def samples(model: HFModel, how: Decoding) -> list[Completion]:
    return [sample for done in model.sample(PROMPTS, how) for sample in done.samples]


def assert_alike(one: HFModel, other: HFModel) -> None:
    """Both draw the same greedily, with the same log-probabilities."""
    for left, right in zip(samples(one, GREEDY), samples(other, GREEDY), strict=True):
        assert left._replace(logprobs=None) == right._replace(logprobs=None)
        assert left.logprobs == pytest.approx(right.logprobs, abs=1e-4)


def test_it_samples_as_the_module_does(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = through(folder, monkeypatch)
    assert_alike(model, HFModel.open(folder, name="m", threads=1, device="cpu"))
    warm = Decoding(temperature=0.8, top_p=0.9, max_tokens=12)
    assert samples(model, warm) == samples(model, warm), "a seed decides a sample"
    for done in model.sample(PROMPTS, Decoding(max_tokens=12)):
        for sample in done.samples:
            (own,) = model.logprobs([(done.prompt_ids, sample.token_ids)])
            assert sample.logprobs == pytest.approx(own, abs=1e-4)


@pytest.mark.parametrize("lora", [None, Lora(rank=2, alpha=4.0)])
def test_what_was_learnt_is_what_is_sampled(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lora: Lora | None
) -> None:
    model, engine = through(folder, monkeypatch)
    base = samples(model, GREEDY)
    for parameter in model.weights.begin(lora, seed=0).values():
        torch.nn.init.normal_(parameter.data, std=0.2)
    assert engine.sleeping, "a learner has the GPU to itself"
    model.weights.save(tmp_path / "learnt.safetensors")
    plain = HFModel.open(folder, name="m", threads=1, device="cpu")
    plain.load(tmp_path / "learnt.safetensors")
    assert_alike(model, plain)
    assert samples(model, GREEDY) != base
    model.load(None)
    assert [sample.text for sample in samples(model, GREEDY)] == [sample.text for sample in base]


def test_weights_go_over_when_they_change_and_the_engine_wakes_in_parts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, engine = through(folder, monkeypatch)
    samples(model, GREEDY)
    samples(model, GREEDY)
    assert engine.told == ["apply_model", "reset_prefix_cache"], "once for the same weights"
    engine.told.clear()
    model.weights.begin(None, seed=0)
    model.engine.sleep()
    samples(model, GREEDY)
    woken = ["wake_up ['weights']", "apply_model", "wake_up ['kv_cache']", "reset_prefix_cache"]
    assert engine.told == ["sleep 2", *woken]
    engine.told.clear()
    samples(model, GREEDY)
    assert "apply_model" in engine.told, "weights without a name are never taken for known"


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


def test_a_head_of_the_engines_own_gets_the_tied_weights(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_vllm.LLM, "own_head", True)
    model, engine = through(folder, monkeypatch)
    assert "lm_head.weight" in dict(engine.inner.named_parameters())
    model.weights.begin(None, seed=0)
    assert_alike(model, HFModel.open(folder, name="m", threads=1, device="cpu"))


def test_weights_that_would_stay_unset_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, engine = through(folder, monkeypatch)
    fake_vllm.plus_one(engine.inner)
    with pytest.raises(BadInput, match=r"more.*lacks"):
        samples(model, GREEDY)


def test_the_engines_length_binds(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = through(folder, monkeypatch, length=32)
    (done,) = model.sample([Prompt("1" * 28, (1,))], Decoding(temperature=0.0, max_tokens=12))
    assert model.context == 32 and len(done.prompt_ids) + len(done.samples[0].token_ids) <= 32
    with pytest.raises(BadInput, match="takes 32"):
        model.sample([Prompt("1" * 40, (1,))], GREEDY)


def test_specs() -> None:
    assert parse("smollm2?memory=0.3&eager=true") == ("smollm2", Options(memory=0.3, eager=True))
    assert default_form("vllm:smollm2?memory=0.3") == default_form("smollm2")
    with pytest.raises(BadInput, match="memory"):
        parse("smollm2?memory=3")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, so that vLLM opens")
def test_without_a_gpu_it_says_so() -> None:
    with pytest.raises(Unavailable, match=r"vllm|GPU"):
        open_model("vllm:tiny", threads=1)


@needs_package
@needs_gpu
def test_the_package_samples_as_the_module_does() -> None:
    model, plain = (
        open_model("vllm:tiny?memory=0.2", threads=1),
        open_model("tiny", threads=1, device="cuda"),
    )
    assert isinstance(model, VllmModel) and isinstance(plain, HFModel)
    greedy = Decoding(temperature=0.0, max_tokens=12, stop=("\n\n",))
    assert [one.text for one in samples(model, greedy)] == [one.text for one in samples(plain, greedy)]
    for _ in range(2):
        for done in model.sample(PROMPTS, Decoding(temperature=1.0, max_tokens=12)):
            for sample in done.samples:
                (own,) = plain.logprobs([(done.prompt_ids, sample.token_ids)])
                assert sample.logprobs is not None
                assert max(abs(a - b) for a, b in zip(own, sample.logprobs, strict=True)) < 0.1
        model.weights.begin(None, seed=0)


@needs_package
def test_the_stand_in_takes_what_the_package_takes() -> None:
    import inspect

    import vllm

    for name in ("sleep", "wake_up", "apply_model", "reset_prefix_cache", "generate"):
        real = inspect.signature(getattr(vllm.LLM, name)).parameters
        for known in inspect.signature(getattr(fake_vllm.LLM, name)).parameters.values():
            assert real[known.name].kind is known.kind and real[known.name].default == known.default
    sampling = inspect.signature(vllm.SamplingParams).parameters
    assert set(inspect.signature(fake_vllm.SamplingParams).parameters) <= set(sampling)
