"""Sampling many rows in few seats, and with int8 weights: a row is what it would be alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers_models import make_model
from sharpen.core.errors import BadInput
from sharpen.core.policy import Decoding
from sharpen.models import hf_int8, hf_kept, hf_prompts, hf_sampler, hf_seats, int8_probe, source
from sharpen.models.base import Completion, Completions, Prompt
from sharpen.models.form import default_form
from sharpen.models.hf import HFModel
from sharpen.models.hf_int8 import Int8Sampler, int8_twin
from sharpen.models.hf_linear import Int8Linear
from sharpen.models.hf_parts import Eager
from sharpen.models.hf_sampler import Sampler
from sharpen.models.hf_weights import Lora
from sharpen.models.source import open_model


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    return make_model(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def tiny() -> HFModel:
    model = open_model("tiny", threads=1)
    assert isinstance(model, HFModel)
    return model


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little room, so that whatever happens when it runs out happens."""
    monkeypatch.setattr(hf_kept, "COLUMNS", 3)
    monkeypatch.setattr(hf_seats, "COLUMNS", 3)
    monkeypatch.setattr(hf_seats, "READ_AT_ONCE", 40)


def rows(found: list[Completions]) -> list[Completion]:
    return [sample for completions in found for sample in completions.samples]


def alone(model: HFModel, prompts: list[Prompt], decoding: Decoding) -> list[Completion]:
    return [
        sample
        for prompt in prompts
        for seed in prompt.seeds
        for sample in rows(model.sample([prompt._replace(seeds=(seed,))], decoding))
    ]


def same(found: list[Completion], wanted: list[Completion]) -> None:
    assert [(row.token_ids, row.text, row.stop) for row in found] == [
        (row.token_ids, row.text, row.stop) for row in wanted
    ]
    for one, other in zip(found, wanted, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=2e-4)


texts = st.lists(
    st.tuples(
        st.sampled_from(["", "Q: how much is ", "a long beginning that they share: "]),
        st.text("ab1+", min_size=1, max_size=9),
    ),
    min_size=1,
    max_size=4,
).map(lambda parts: ["".join(pair) for pair in parts])


@pytest.mark.parametrize("parts, long", [(None, 1), (Eager(), 1), (Eager(), 1000)])
@given(
    texts=texts,
    samples=st.integers(1, 3),
    most=st.integers(1, 7),
    length=st.integers(1, 10),
    greedy=st.booleans(),
)
@settings(max_examples=6, deadline=None)
def test_refilled_seats_give_what_rows_give_alone(
    llama: HFModel,
    parts: Eager | None,
    long: int,
    texts: list[str],
    samples: int,
    most: int,
    length: int,
    greedy: bool,
) -> None:
    """With kernels where there are any; without, with prompts that are kept once, and with copies."""
    prompts = [Prompt(text, tuple(range(place, place + samples))) for place, text in enumerate(texts)]
    decoding = Decoding(temperature=0.0 if greedy else 1.4, max_tokens=length, stop=("e", "7"))
    assert isinstance(llama.sampler, Sampler) and llama.sampler.fits
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hf_seats, "LONG", long)
        patch.setattr(llama.sampler.stepper, "own", parts)
        wanted = alone(llama, prompts, decoding)
        for seats in (most, hf_sampler.MOST_ROWS):
            patch.setattr(llama.sampler, "most_rows", seats)
            same(rows(llama.sample(prompts, decoding)), wanted)


@pytest.mark.parametrize("most", [2, 5, 64])
def test_tiny_draws_the_same_in_any_number_of_seats(
    tiny: HFModel, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [Prompt(f"Q: {n} + {n * 7} = ?\nA:", (n, n + 1, n + 2)) for n in (3, 12, 123)]
    decoding = Decoding(temperature=1.0, top_p=0.9, max_tokens=20)
    wanted = alone(tiny, prompts, decoding)
    monkeypatch.setattr(tiny.sampler, "most_rows", most)
    same(rows(tiny.sample(prompts, decoding)), wanted)


def test_a_common_start_is_read_once(llama: HFModel, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[int, ...]] = []
    hook = llama.module.base_model.register_forward_pre_hook(
        lambda module, given, named: read.append(tuple(named["input_ids"].shape)), with_kwargs=True
    )
    monkeypatch.setattr(hf_seats, "READ_AT_ONCE", 1000)
    prompts = [Prompt("so many words at the start " + end, (0, 1)) for end in ("a", "bc", "d")]
    shared = rows(llama.sample(prompts, Decoding(max_tokens=4)))
    hook.remove()
    start = len(llama.encode("so many words at the start "))
    assert read == [(1, start), (3, 2)]
    monkeypatch.setattr(hf_prompts, "WORTH", 1000)
    same(shared, rows(llama.sample(prompts, Decoding(max_tokens=4))))


def test_seats_are_filled_again_as_rows_end(llama: HFModel, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    step = hf_seats.Stepper.step
    monkeypatch.setattr(
        hf_seats.Stepper,
        "step",
        lambda self, tokens, *rest: steps.append(len(tokens)) or step(self, tokens, *rest),
    )
    monkeypatch.setattr(llama.sampler, "most_rows", 6)
    found = rows(
        llama.sample(
            [Prompt("2+2=", tuple(range(60)))], Decoding(temperature=2.0, max_tokens=30, stop=("e", "1"))
        )
    )
    drawn = sum(len(row.token_ids) for row in found)
    assert max(steps) == 6
    # A row's first token comes from reading the prompt; one of six seats may wait to be filled.
    assert drawn - len(found) >= 0.8 * sum(steps[:-30])


# ------------------------------------------------------------------------------------- int8 weights


@given(seed=st.integers(0, 10**6), size=st.integers(1, 5), inner=st.sampled_from([8, 33, 64]))
@settings(max_examples=20, deadline=None)
def test_int8_rows_do_not_depend_on_their_neighbours(seed: int, size: int, inner: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight, bias = torch.randn(7, inner, generator=generator), torch.randn(7, generator=generator)
    inputs = torch.randn(size, inner, generator=generator) * torch.logspace(-3, 3, size)[:, None]
    layer = Int8Linear(weight, bias)
    found = layer(inputs)
    assert torch.equal(found, torch.cat([layer(row[None]) for row in inputs]))
    # A product of rounded numbers is off by half a step of each, at most; two weights share the steps of one.
    steps = weight.abs().amax(1) / 127, inputs.abs().amax(1, keepdim=True) / 127 / 2
    most = inputs.abs().sum(1, keepdim=True) * steps[0] + steps[1] * (weight.abs() + steps[0][:, None]).sum(1)
    assert ((found - torch.nn.functional.linear(inputs, weight, bias)).abs() <= most * 1.01 + 1e-4).all()


def test_int8_zeros_stay_zeros() -> None:
    assert torch.equal(Int8Linear(torch.randn(3, 8), None)(torch.zeros(2, 8)), torch.zeros(2, 3))


@pytest.fixture
def rounded(tmp_path: Path) -> HFModel:
    model = make_model(tmp_path)
    model.sample_in_int8()
    return model


def test_int8_draws_do_not_depend_on_neighbours_or_seats(
    rounded: HFModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hf_int8, "MOST_KL", 100)
    prompts = [Prompt(text, (0, 1, 2)) for text in ("a", "2+2=", "so much more of it")]
    wanted = alone(rounded, prompts, Decoding(max_tokens=10))
    rounded.sampler.most_rows = 2
    same(rows(rounded.sample(prompts, Decoding(max_tokens=10))), wanted)


def test_int8_is_used_only_below_the_limit(
    rounded: HFModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert isinstance(rounded.sampler, Int8Sampler)
    own = make_model(tmp_path)
    prompts, decoding = [Prompt("2+2=", (0, 1, 2))], Decoding(max_tokens=10)
    monkeypatch.setattr(hf_int8, "MOST_KL", 100)
    assert rounded.sample(prompts, decoding) != own.sample(prompts, decoding)
    assert 0 < rounded.sampler.twin()[1].mean < 1 and "KL" in capsys.readouterr().err
    monkeypatch.setattr(hf_int8, "MOST_KL", -1.0)
    assert rounded.sample(prompts, decoding) == own.sample(prompts, decoding)


def test_int8_follows_the_weights(rounded: HFModel, tmp_path: Path) -> None:
    assert isinstance(rounded.sampler, Int8Sampler)
    before = rounded.sampler.twin()
    assert rounded.sampler.twin() is before
    for matrix in rounded.weights.begin(Lora(rank=4, alpha=8), seed=1).values():
        torch.nn.init.normal_(matrix, std=0.05)
    assert rounded.sampler.twin() is not rounded.sampler.twin(), "a learner is at work"
    rounded.weights.save(tmp_path / "w")
    adapted = rounded.sampler.twin()
    assert adapted is rounded.sampler.twin() is not before
    ids = torch.tensor([rounded.encode("2+2=")])
    twin, module = int8_twin(rounded.module, [rounded.encode("3 + 4")]), rounded.module
    gap = (twin(ids).logits - module(ids).logits).norm() / module(ids).logits.norm()
    rounded.load(None)
    assert gap < 0.1 < (twin(ids).logits - module(ids).logits).norm() / module(ids).logits.norm()


def test_int8_is_for_float32_on_a_cpu(tmp_path: Path) -> None:
    folder = make_model(tmp_path).folder
    with pytest.raises(BadInput, match="bfloat16"):
        HFModel.open(folder, name="m", dtype="bfloat16", device="cpu").sample_in_int8()


@pytest.mark.parametrize("gain, used", [(1.5, True), (1.0, False)])
def test_int8_is_asked_for_by_the_models_name(
    gain: float, used: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(int8_probe, "int8_gain", lambda module: gain)
    model = open_model("tiny?sample=int8", device="cpu")
    assert isinstance(model, HFModel) and isinstance(model.sampler, Int8Sampler) == used
    assert ("not used" in capsys.readouterr().err) != used
    assert default_form("tiny?sample=int8") == default_form("tiny")
    assert source.without_options("tiny?sample=int8") == "tiny"


def test_a_models_own_products_are_measured_once(
    llama: HFModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARPEN_CACHE", str(tmp_path))
    gain = int8_probe.int8_gain(llama.module)
    assert gain > 0
    monkeypatch.setattr(int8_probe, "_best", lambda *works: [3.0, 2.0])
    assert int8_probe.int8_gain(llama.module) == gain
    assert int8_probe.int8_gain(torch.nn.Linear(8, 8)) == 1.5, "other products"


@pytest.mark.parametrize("spec, field", [("tiny?sample=int3", "sample"), ("tiny?threads=2", "option")])
def test_other_options_are_refused(spec: str, field: str) -> None:
    with pytest.raises(BadInput, match=field):
        open_model(spec)
