"""The compiled kernels of a decode step: what torch gives but for rounding; a row by itself to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from helpers_models import make_model
from sharpen.core.policy import Decoding
from sharpen.models import hf_kernels, hf_linear, hf_native
from sharpen.models.base import Prompt
from sharpen.models.hf_kept import Kept, Layout, Move
from sharpen.models.hf_kernels import kernels
from sharpen.models.hf_linear import Int8Linear
from sharpen.models.hf_native import Native
from sharpen.models.hf_parts import Eager, Place, States
from sharpen.models.hf_plan import FULL, Norm
from sharpen.models.hf_sampler import Sampler
from sharpen.models.sampling import draw

compiled = pytest.mark.skipif(kernels() is None, reason="there is no C compiler")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def native() -> Native:
    library = kernels()
    assert library is not None
    return Native(library)


def seated(generator: torch.Generator, born: list[int], lengths: list[int], used: int) -> tuple[Kept, Layout]:
    """A layer with two prompts and rows that came in at these columns, and hear so much of their prompts."""
    kept = Kept(*(torch.randn(2, 2, 5, 32, generator=generator) for _ in range(2)))
    none = torch.zeros(0, dtype=torch.long)
    kept.keep_rows(Move(len(born), none, none, slice(0, 0), used, True, None))
    for store in kept.rows:
        store[:, :, :used] = torch.randn(len(born), 2, used, 32, generator=generator)
    first, heard = torch.tensor(born), torch.tensor(lengths)
    places = torch.arange(len(born)) % 2
    return kept, Layout(None, None, first, places, heard)


def attended(native: Native, states: States, kept: Kept, layout: Layout, used: int, rows: slice) -> Tensor:
    """What these rows hear, alone."""
    cosines, sines = torch.arange(64.0).view(2, 32).cos(), torch.arange(64.0).view(2, 32).sin()
    some = Layout(None, None, layout.born[rows], layout.prompts[rows], layout.lengths[rows])
    place = Place(torch.ones(len(some.born), dtype=torch.long), {FULL: (cosines, sines)}, used, some, native)
    alone = Kept(*kept.prompts)
    alone.rows = (kept.rows[0][rows].clone(), kept.rows[1][rows].clone())
    own = States(*(state[rows] for state in states))
    heard = native.attend(own, 0.2, alone, native.turns(place, [alone])[FULL], place)
    assert torch.equal(alone.rows[1][:, :, used], own.values)
    keys = torch.cat((alone.prompts[0][some.prompts], alone.rows[0][:, :, : used + 1]), dim=2)
    values = torch.cat((alone.prompts[1][some.prompts], alone.rows[1][:, :, : used + 1]), dim=2)
    columns = torch.arange(5 + used + 1)
    seen = (columns < some.lengths[:, None]) | (columns >= 5 + some.born[:, None])
    half = torch.cat((own.queries[..., 16:], own.queries[..., :16]), dim=-1)
    queries = (own.queries * cosines[1] + half * sines[1])[:, :, None]
    wanted = torch.nn.functional.scaled_dot_product_attention(
        queries, keys, values, attn_mask=seen[:, None, None], scale=0.2, enable_gqa=True
    )
    torch.testing.assert_close(heard, wanted[:, :, 0], atol=1e-5, rtol=1e-4)
    return heard


@compiled
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 6), used=st.integers(0, 20))
@settings(max_examples=15, deadline=None)
def test_attention_is_torchs_and_rows_do_not_see_each_other(seed: int, rows: int, used: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    born = torch.randint(0, used + 1, (rows,), generator=generator).tolist()
    lengths = torch.randint(0, 6, (rows,), generator=generator).tolist()
    kept, layout = seated(generator, born, lengths, used)
    shapes = ((rows, 4, 32), (rows, 2, 32), (rows, 2, 32))
    states = States(*(torch.randn(shape, generator=generator) for shape in shapes))
    together = attended(native(), states, kept, layout, used, slice(None))
    alone = [attended(native(), states, kept, layout, used, slice(row, row + 1)) for row in range(rows)]
    assert torch.equal(together, torch.cat(alone))


@compiled
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 5), added=st.booleans())
@settings(max_examples=15, deadline=None)
def test_norms_and_gates_are_torchs(seed: int, rows: int, added: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    hidden, more, up = (torch.randn(rows, 40, generator=generator) * 30 for _ in range(3))
    norm = Norm(lambda states: states, torch.randn(40, generator=generator), 1e-6)
    wanted = Eager().added(norm, hidden, more if added else None)
    found = native().added(norm, hidden.clone(), more if added else None)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    gate = hidden.clone()
    native().library.gated(gate.data_ptr(), up.data_ptr(), gate.numel())
    torch.testing.assert_close(gate, torch.nn.functional.silu(hidden) * up, atol=1e-4, rtol=1e-5)


@compiled
@given(
    seed=st.integers(0, 10**6), width=st.sampled_from([3, 100, 700]), temperature=st.sampled_from([0.3, 1.0])
)
@settings(max_examples=20, deadline=None)
def test_draws_are_torchs_and_never_of_what_cannot_be(seed: int, width: int, temperature: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(50, width, generator=generator) * 5
    logits[:, 1::2] = -torch.inf
    uniforms = torch.rand(50, generator=generator)
    uniforms[:2] = torch.tensor([0.0, 1 - 2**-24])
    wanted = draw(logits, uniforms, temperature=temperature, top_p=1.0)
    found = hf_native.drawn(logits, uniforms, temperature)
    assert found is not None
    assert (found.tokens % 2 == 0).all()
    # Where a number falls on the very edge between two tokens, rounding decides.
    same = found.tokens == wanted.tokens
    assert same.sum() >= 48
    torch.testing.assert_close(found.logprobs[same], wanted.logprobs[same], atol=1e-4, rtol=1e-4)


@compiled
def test_int8_layers_give_the_same_bits_with_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    layer = Int8Linear(
        torch.randn(6, 37, generator=generator), None, torch.rand(37, generator=generator) + 0.1
    )
    inputs = torch.randn(9, 37, generator=generator) * torch.logspace(-3, 3, 9)[:, None]
    inputs[4] = 0
    found = layer(inputs)
    monkeypatch.setattr(hf_linear, "kernels_for", lambda like: None)
    assert torch.equal(found, layer(inputs))


@pytest.mark.parametrize("missing", ["compiler", "room", "sense"])
def test_without_kernels_the_same_tokens_are_drawn(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(tmp_path / "model")
    torch.set_num_threads(1)
    prompts, decoding = [Prompt(text, (0, 1, 2)) for text in ("2+2=", "so much more")], Decoding(max_tokens=8)
    wanted = model.sample(prompts, decoding)
    kernels.cache_clear()
    try:
        (tmp_path / "file").touch()
        monkeypatch.setenv("SHARPEN_CACHE", str(tmp_path / ("file" if missing == "room" else "cache")))
        if missing == "compiler":
            monkeypatch.setattr(hf_kernels, "COMPILERS", ())
        if missing == "sense":
            monkeypatch.setattr(hf_kernels, "OPTIONS", ("--no-such-option",))
        assert kernels() is None
        assert isinstance(model.sampler, Sampler) and isinstance(model.sampler.stepper.parts, Eager)
        found = model.sample(prompts, decoding)
    finally:
        kernels.cache_clear()
    for one, other in zip(found, wanted, strict=True):
        for here, there in zip(one.samples, other.samples, strict=True):
            assert here.token_ids == there.token_ids
            assert here.logprobs == pytest.approx(there.logprobs, abs=2e-4)
