"""The Hugging Face engine: equal to plain transformers, independent rows, honest log-probabilities."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers_models import FAMILIES, make_model, make_model_folder
from sharpen.core.attempt import Stop
from sharpen.core.errors import BadInput, Damaged
from sharpen.core.policy import Decoding
from sharpen.core.task import Message, Role
from sharpen.models.base import Prompt
from sharpen.models.hf import HFModel
from sharpen.models.hf_folder import open_folder_or_hub
from sharpen.models.hf_weights import Lora
from sharpen.models.sampling import draw, inverse_cdf, nucleus, uniforms_for

TEXTS = ("2+2=", "Q: how many apples are left?\nA:", "x", "a longer prompt that is padded less than others")


@pytest.fixture(scope="module")
def folder_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def llama(folder_root: Path) -> HFModel:
    return make_model(folder_root)


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_equals_generate(folder_root: Path, family: str) -> None:
    model = make_model(folder_root, family)
    ours = model.sample([Prompt(text, (0,)) for text in TEXTS], Decoding(temperature=0, max_tokens=24))
    for text, completions in zip(TEXTS, ours, strict=True):
        ids = torch.tensor([model.encode(text)])
        theirs = model.module.generate(ids, do_sample=False, max_new_tokens=24, pad_token_id=0)
        assert completions.prompt_ids == tuple(ids[0].tolist())
        assert completions.samples[0].token_ids == tuple(theirs[0, ids.shape[1] :].tolist())


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_do_not_depend_on_their_neighbours(folder_root: Path, family: str) -> None:
    model = make_model(folder_root, family)
    decoding = Decoding(temperature=1.3, top_p=0.95, max_tokens=24, stop=("e", "zz"))
    prompts = [Prompt(text, tuple(range(place, place + 3))) for place, text in enumerate(TEXTS)]
    together = model.sample(prompts, decoding)
    for prompt, whole in zip(prompts, together, strict=True):
        for seed, sample in zip(prompt.seeds, whole.samples, strict=True):
            alone = model.sample([Prompt(prompt.text, (seed,))], decoding)[0].samples[0]
            assert (alone.token_ids, alone.text, alone.stop) == (sample.token_ids, sample.text, sample.stop)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_sampled_logprobs_equal_teacher_forced_ones(
    folder_root: Path, family: str, temperature: float
) -> None:
    model = make_model(folder_root, family)
    decoding = Decoding(temperature=temperature, top_p=0.9, max_tokens=20)
    prompts = [Prompt(text, (1, 2), prefix="so " if place else "") for place, text in enumerate(TEXTS)]
    for completions in model.sample(prompts, decoding):
        pairs = [(completions.prompt_ids, sample.token_ids) for sample in completions.samples]
        for sample, scored in zip(completions.samples, model.logprobs(pairs), strict=True):
            assert sample.logprobs == pytest.approx(scored, abs=1e-4)


def test_logprobs_are_taken_at_the_sampling_temperature(llama: HFModel) -> None:
    completions = llama.sample([Prompt("2+2=", (5,))], Decoding(temperature=0.5, max_tokens=1))[0]
    logits = llama.module(torch.tensor([completions.prompt_ids])).logits[0, -1].detach()
    sample = completions.samples[0]
    assert sample.logprobs == pytest.approx([float((logits / 0.5).log_softmax(-1)[sample.token_ids[0]])])


def test_scores_in_small_chunks_equal_scores_in_one(llama: HFModel, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [(llama.encode(text), llama.encode_response("some answer")) for text in TEXTS]
    whole = llama.logprobs(pairs)
    monkeypatch.setattr("sharpen.models.hf_head.LOGITS_AT_ONCE", 300)
    monkeypatch.setattr("sharpen.models.hf_head.SCORED_TOKENS", 60)
    for one, other in zip(whole, llama.logprobs(pairs), strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def test_same_call_gives_same_numbers(llama: HFModel) -> None:
    prompts = [Prompt(text, (1, 2, 3)) for text in TEXTS]
    assert llama.sample(prompts, Decoding()) == llama.sample(prompts, Decoding())


def test_forced_prefix_begins_the_response(llama: HFModel) -> None:
    greedy = Decoding(temperature=0, max_tokens=12)
    free = llama.sample([Prompt("2+2=", (0,))], greedy)[0].samples[0]
    forced = llama.sample([Prompt("2+2=", (0,), prefix=free.text[:4])], greedy)[0].samples[0]
    assert forced.text.startswith(free.text)
    assert forced.token_ids[:12] == free.token_ids
    assert len(forced.token_ids) == 16
    assert forced.logprobs[:12] == pytest.approx(free.logprobs, abs=1e-4)


def test_a_stop_text_in_the_prefix_does_not_stop(llama: HFModel) -> None:
    prompt = Prompt("2+2=", (0,), prefix="one\ntwo")
    sample = llama.sample([prompt], Decoding(max_tokens=5, stop=("\n",)))[0].samples[0]
    assert sample.text.startswith("one\ntwo")
    assert len(sample.token_ids) > len("one\ntwo")


@given(stop=st.text("abcdefghij 0123456789", min_size=1, max_size=2))
@settings(max_examples=8, deadline=None)
def test_stop_texts_cut_where_they_first_appear(llama: HFModel, stop: str) -> None:
    prompt = Prompt("2+2=", tuple(range(8)))
    free = llama.sample([prompt], Decoding(temperature=1.5, max_tokens=30))[0].samples
    stopped = llama.sample([prompt], Decoding(temperature=1.5, max_tokens=30, stop=(stop,)))[0].samples
    for one, other in zip(free, stopped, strict=True):
        place = one.text.find(stop)
        assert other.text == (one.text if place < 0 else one.text[:place])
        assert one.token_ids[: len(other.token_ids)] == other.token_ids
        if place >= 0:
            assert other.stop is Stop.STOP_TEXT
            assert llama.decode(other.token_ids) == one.text[: place + len(stop)]
        else:
            assert other.stop is one.stop


def test_end_token_is_kept_in_the_ids_and_out_of_the_text(llama: HFModel) -> None:
    prompt = Prompt("2+2=", tuple(range(200)))
    samples = llama.sample([prompt], Decoding(temperature=3.0, max_tokens=60))[0].samples
    assert {sample.stop for sample in samples} == {Stop.END, Stop.LENGTH}
    for sample in samples:
        assert (sample.token_ids[-1] == llama.eos_id) == (sample.stop is Stop.END)
        assert llama.eos_id not in sample.token_ids[:-1]
        assert "<" not in sample.text or "<eos>" not in sample.text
        assert len(sample.logprobs) == len(sample.token_ids) <= 60


def test_a_prompt_near_the_end_of_the_context_gets_the_room_there_is(llama: HFModel) -> None:
    long = Prompt("a" * (llama.context - 4), (0, 1))
    results = llama.sample([long, Prompt("b", (0,))], Decoding(temperature=0, max_tokens=20))
    assert all(len(sample.token_ids) <= 3 for sample in results[0].samples)
    assert len(results[1].samples[0].token_ids) in range(1, 21)
    with pytest.raises(BadInput, match="512"):
        llama.sample([Prompt("a" * llama.context, (0,))], Decoding())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_short_step_is_the_models_own(family: str, tmp_path: Path) -> None:
    """For every family, with and without an adapter, of rows that are padded and dropped on the way."""
    model = make_model(tmp_path, family)
    assert model.sampler.fits
    prompts = [Prompt(text, (0, 1)) for text in ("a", "bcd", "ef")]
    decoding = Decoding(max_tokens=8)
    for lora in (None, Lora(rank=4, alpha=8)):
        if lora:
            for matrix in model.weights.begin(lora, seed=1).values():
                torch.nn.init.normal_(matrix, std=0.05)
        short = model.sample(prompts, decoding)
        model.sampler.__dict__["fits"] = False
        long = model.sample(prompts, decoding)
        model.sampler.__dict__["fits"] = True
        for one, other in zip(short, long, strict=True):
            assert [s.token_ids for s in one.samples] == [s.token_ids for s in other.samples]
            for a, b in zip(one.samples, other.samples, strict=True):
                assert a.logprobs == pytest.approx(b.logprobs, abs=1e-4)


def test_a_step_that_would_differ_is_not_taken(tmp_path: Path) -> None:
    model = make_model(tmp_path, "llama")

    def doubled(module: object, given: object, output: Any) -> None:
        output.logits *= 2

    model.module.register_forward_hook(doubled)
    assert not model.sampler.fits
    (drawn,) = model.sample([Prompt("a", (0,))], Decoding(max_tokens=8))
    assert len(drawn.samples[0].token_ids) >= 1


@pytest.mark.parametrize("bad", [{"temperature": -1.0}, {"top_p": 0.0}, {"max_tokens": 0}, {"stop": ("",)}])
def test_decoding_out_of_range_is_refused(llama: HFModel, bad: dict[str, object]) -> None:
    with pytest.raises(BadInput, match=next(iter(bad))):
        llama.sample([Prompt("a", (0,))], Decoding(**bad))


def test_chat_uses_the_template(llama: HFModel) -> None:
    text = llama.chat([Message(role=Role.USER, content="hi {{ 1 }}")])
    assert text == "[user] hi {{ 1 }}\n[assistant] "


@given(words=st.lists(st.sampled_from(["<eos>", "<bos>", "<unk", ">", "a", "<", " "]), max_size=8))
def test_foreign_words_are_never_special_tokens(llama: HFModel, words: list[str]) -> None:
    said = "".join(words)
    special = set(llama.tokenizer.all_special_ids) - {llama.tokenizer.unk_token_id}
    assert special.isdisjoint(llama.encode_response(said))
    told = llama.chat([Message(role=Role.USER, content=said)])
    assert special.isdisjoint(llama.tokenizer(told, add_special_tokens=False).input_ids)


# ------------------------------------------------------------------------------------- drawing


@given(width=st.sampled_from([1, 7, 96, 600, 5000]), seed=st.integers(0, 10**6), top_p=st.floats(0.05, 1.0))
@settings(max_examples=60, deadline=None)
def test_draws_follow_the_inverse_cdf(width: int, seed: int, top_p: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(6, width, generator=generator) * 4
    uniforms = uniforms_for(range(seed, seed + 6), 1)[:, 0]
    drawn = draw(logits, uniforms, temperature=0.7, top_p=top_p)
    exact = (logits.double() / 0.7).softmax(-1)
    sums = exact.cumsum(-1)
    chosen = exact.gather(1, drawn.tokens[:, None])[:, 0]
    assert (chosen > 0).all()
    assert drawn.logprobs.tolist() == pytest.approx(chosen.log().tolist(), abs=1e-4)
    higher = torch.where(exact > chosen[:, None] * (1 + 1e-5), exact, 0.0).sum(-1)
    assert (higher < top_p + 1e-5).all(), "a token outside the nucleus was drawn"
    if top_p == 1.0:
        after = sums.gather(1, drawn.tokens[:, None])[:, 0]
        assert (uniforms < after + 1e-5).all()
        assert (uniforms >= after - chosen - 1e-5).all()


@pytest.mark.parametrize("width", [5, 4096])
def test_extreme_uniforms_never_draw_an_impossible_token(width: int) -> None:
    weights = torch.zeros(2, width)
    weights[:, 2:4] = 0.5
    assert inverse_cdf(weights, torch.tensor([0.0, 1.0])).tolist() == [2, 3]


def test_frequencies_match_probabilities() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0]]).expand(20000, 4)
    drawn = draw(logits, uniforms_for(range(20000), 1)[:, 0], temperature=1.0, top_p=1.0)
    counted = torch.bincount(drawn.tokens, minlength=4) / 20000
    assert counted.tolist() == pytest.approx(logits[0].softmax(-1).tolist(), abs=0.015)


@given(width=st.integers(1, 400), seed=st.integers(0, 999), top_p=st.floats(0.01, 0.999))
@settings(max_examples=60, deadline=None)
def test_the_nucleus_is_the_smallest_set_that_reaches_top_p(width: int, seed: int, top_p: float) -> None:
    logits = torch.randn(4, width, generator=torch.Generator().manual_seed(seed)) * 3
    probabilities = logits.softmax(-1)
    for row, kept in zip(probabilities, nucleus(probabilities, top_p), strict=True):
        chosen = kept > 0
        assert float(kept.sum()) >= top_p - 1e-5
        assert float(kept.sum() - row[chosen].min()) <= top_p + 1e-5
        assert chosen.all() or row[~chosen].max() < row[chosen].min()


# ------------------------------------------------------------------------------------- weights


def changed(model: HFModel, path: Path, *, lora: Lora | None = None, seed: int = 1) -> str:
    """Start from the base, change every trainable weight a little, save."""
    model.load(None)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.weights.begin(lora, seed=seed).values():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return model.weights.save(path)


def state(model: HFModel) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.weights.parameters().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("family", ["llama", "llama-untied"])
def test_loading_is_bit_exact_in_any_order(folder_root: Path, tmp_path: Path, family: str) -> None:
    model = make_model(folder_root, family)
    paths: dict[str, Path | None] = {"base": None}
    states = {"base": state(model)}
    for name, lora in (("full", None), ("lora4", Lora(rank=4, alpha=8)), ("lora2", Lora(rank=2, alpha=8))):
        paths[name] = tmp_path / f"{name}.safetensors"
        changed(model, paths[name], lora=lora)
        states[name] = state(model)
    prompts = [Prompt("2+2=", (0, 1))]
    results = {}
    for name in ("full", "lora4", "base", "lora2", "full", "base", "lora2", "lora4", "lora4"):
        model.load(paths[name])
        assert same(state(model), states[name]), name
        samples = model.sample(prompts, Decoding(max_tokens=8))
        assert results.setdefault(name, samples) == samples


def test_loading_what_is_loaded_touches_nothing(
    llama: HFModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(llama, tmp_path / "one.safetensors")
    moved = (tmp_path / "one.safetensors").rename(tmp_path / "two")
    refuse: Callable[..., None] = lambda *_: pytest.fail("copied")  # noqa: E731
    with monkeypatch.context() as patched:
        patched.setattr("sharpen.models.hf_weights.copy_into", refuse)
        llama.load(moved)
        llama.load(moved)
    llama.load(None)


def test_equal_weights_are_equal_bytes(llama: HFModel, tmp_path: Path) -> None:
    for name in ("a", "b"):
        changed(llama, tmp_path / name)
        llama.load(None)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_weights_of_another_model_are_refused(llama: HFModel, folder_root: Path, tmp_path: Path) -> None:
    other = make_model(folder_root, seed=1)
    changed(other, tmp_path / "w")
    with pytest.raises(BadInput, match="another model"):
        llama.load(tmp_path / "w")


def test_a_file_that_is_no_weights_file_is_damaged(llama: HFModel, tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(b"\x80\x04 pickled")
    with pytest.raises(Damaged):
        llama.load(tmp_path / "w")
    with pytest.raises(Damaged):
        llama.load(tmp_path / "missing")


@pytest.mark.parametrize("lora", [None, Lora(rank=4, alpha=8)])
@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_export_is_read_by_plain_transformers(
    folder_root: Path, tmp_path: Path, family: str, lora: Lora | None
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = make_model(folder_root, family)
    changed(model, tmp_path / "w", lora=lora)
    ids = torch.tensor([model.encode("2+2=")])
    ours = model.module(ids).logits
    model.export(tmp_path / "w", tmp_path / "out", merged=True)
    assert torch.equal(model.module(ids).logits, ours), "export must leave the model as it was"
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32).eval()
    assert torch.allclose(plain(ids).logits, ours, atol=1e-4)
    assert AutoTokenizer.from_pretrained(tmp_path / "out")("2+2=").input_ids == ids[0].tolist()
    again = HFModel.open(tmp_path / "out", name="again", threads=1, device="cpu")
    prompts, greedy = [Prompt("a", (0,))], Decoding(temperature=0, max_tokens=10)
    assert (
        again.sample(prompts, greedy)[0].samples[0].text == model.sample(prompts, greedy)[0].samples[0].text
    )


def test_export_as_a_peft_adapter(folder_root: Path, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = make_model(folder_root)
    changed(model, tmp_path / "w", lora=Lora(rank=4, alpha=8))
    ids = torch.tensor([model.encode("2+2=")])
    model.export(tmp_path / "w", tmp_path / "out", merged=False)
    plain = AutoModelForCausalLM.from_pretrained(model.folder, dtype=torch.float32)
    adapted = PeftModel.from_pretrained(plain, tmp_path / "out").eval()
    assert torch.allclose(adapted(ids).logits, model.module(ids).logits, atol=1e-5)
    changed(model, tmp_path / "full")
    with pytest.raises(BadInput, match="no adapter"):
        model.export(tmp_path / "full", tmp_path / "out2", merged=False)


# ------------------------------------------------------------------------------------- folders


def test_fingerprint_follows_the_contents(folder_root: Path) -> None:
    one, again, other = (make_model(folder_root, seed=seed) for seed in (0, 0, 1))
    assert one.fingerprint == again.fingerprint != other.fingerprint


def test_folders_that_cannot_be_used_are_refused_with_a_reason(folder_root: Path, tmp_path: Path) -> None:
    good = make_model_folder(folder_root)
    with pytest.raises(BadInput, match=r"config\.json"):
        open_folder_or_hub(str(tmp_path))
    (tmp_path / "config.json").write_bytes((good / "config.json").read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(BadInput, match="safetensors"):
        open_folder_or_hub(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes((good / "model.safetensors").read_bytes())
    with pytest.raises(BadInput, match="tokenizer"):
        open_folder_or_hub(str(tmp_path))
    with pytest.raises(BadInput, match="neither"):
        open_folder_or_hub("no such/folder/anywhere")
    with pytest.raises(BadInput, match="dtype"):
        HFModel.open(good, name="x", dtype="float8")
    assert math.isfinite(len(open_folder_or_hub(str(good)).name))
