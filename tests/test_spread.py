"""Weights spread over processes: the same training as in one, up to rounding, and it goes on after a kill."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers_models import make_model
from sharpen.core.errors import BadInput, SharpenError
from sharpen.experiment.check_recipe import StopAfter
from sharpen.experiment.execute import execute
from sharpen.experiment.spec import RunSpec
from sharpen.learners import gang
from sharpen.learners.batch import Batch, Example, units
from sharpen.learners.fit import CHECKPOINT_FILE, Fit
from sharpen.learners.sft import SFT, Carry
from sharpen.learners.spread import Place, dealt, met
from sharpen.learners.training import TrainReport, train
from sharpen.models.hf import HFModel
from sharpen.models.hf_file import read_tensors

SETTINGS = SFT(epochs=2, batch_size=2, lr=3e-3, micro_tokens=32, clip=0.5)


def examples(count: int) -> tuple[Example, ...]:
    rows = [(tuple(range(4, 9 + n)), tuple(range(20, 24 + 2 * n))) for n in range(count)]
    return tuple(
        Example(prompt, answer, (1.0,) * len(answer), 1.0 + len(answer) / 9) for prompt, answer in rows
    )


def trained(
    model: HFModel, folder: Path, settings: SFT, processes: int, start: Path | None = None
) -> TrainReport:
    model.spread(processes)
    (folder / "scratch").mkdir(parents=True, exist_ok=True)
    return train(
        model,
        settings,
        Batch(examples(5)),
        start_weights=start,
        optimizer_state=None,
        seed=7,
        scratch=folder / "scratch",
        output=folder,
        progress=lambda step, total, loss: None,
        should_stop=lambda: None,
    )


@given(st.lists(st.sampled_from(["", "a", "b"]), max_size=12), st.integers(1, 5))
def test_every_unit_is_dealt_to_one_process(links: list[str], size: int) -> None:
    whole = [Example((n,), (1,), (1.0,), link=link) for n, link in enumerate(links)]
    parts = [dealt(whole, Place(rank, size)) for rank in range(size)]
    assert sorted(example for part in parts for example in part) == sorted(whole)
    assert all(set(units(part)) <= set(units(whole)) for part in parts)


def same(folder: Path, other: Path) -> bool:
    one, two = (read_tensors(place / "model.safetensors") for place in (folder, other))
    return one.keys() == two.keys() and all(torch.allclose(one[n], two[n], atol=2e-5) for n in one)


def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    """Five examples: no even share, and the last step's batch leaves a process without any."""
    model = make_model(tmp_path)
    alone = trained(model, tmp_path / "alone", SETTINGS, 1)
    together = trained(model, tmp_path / "together", SETTINGS, 2)
    assert together.losses == pytest.approx(alone.losses, rel=1e-5)
    assert together.grad_norm_mean == pytest.approx(alone.grad_norm_mean, rel=1e-4)
    assert together.trained_tokens == alone.trained_tokens
    assert same(tmp_path / "alone", tmp_path / "together")


class Killed(Exception):
    pass


def spread(folder: Path, settings: SFT, *, stop_at: int | None = None) -> None:
    """Spread over this process alone, which is quick."""
    (folder / "scratch").mkdir(parents=True, exist_ok=True)
    steps = iter(range(1000))

    def should_stop() -> None:
        if next(steps) == stop_at:
            raise Killed

    model = make_model(folder.parent)
    meeting = folder / f"meeting-{stop_at}"
    with met(Place(0, 1), meeting, torch.device("cpu")) as among:
        batch = Batch(examples(5))
        fit = Fit(model, settings, batch, None, None, seed=7, scratch=folder / "scratch", among=among)
        fit.run(folder, lambda step, total, loss: None, should_stop)


@pytest.mark.parametrize("rank", [None, 2])
def test_a_spread_training_goes_on_from_its_parts(
    rank: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sharpen.learners.checkpoint.WRITING_SHARE", 1e9)
    settings = SETTINGS.model_copy(update={"lora_rank": rank, "checkpoint_every": 2})
    trained(make_model(tmp_path), tmp_path / "plain", settings, 1)
    spread(tmp_path / "whole", settings)
    with pytest.raises(Killed):
        spread(tmp_path / "killed", settings, stop_at=3)
    assert (tmp_path / "killed" / "scratch" / CHECKPOINT_FILE).is_file()
    spread(tmp_path / "killed", settings)
    assert same(tmp_path / "plain", tmp_path / "whole")
    whole, killed = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "killed"))
    assert whole == killed


def test_a_process_that_fails_ends_all(tmp_path: Path) -> None:
    model = make_model(tmp_path)
    model.spread(2)
    order = gang._order(model, SETTINGS, Batch(examples(1)), None, 0, tmp_path, tmp_path)
    lost = order.model_copy(update={"kind": "sharpen.learners.sft:Lost"})
    with pytest.raises(SharpenError, match=r"process of the training failed: .*Lost"):
        gang._watched(tmp_path, lost, lambda *said: None, lambda: None)


def test_what_cannot_be_spread_is_refused(tmp_path: Path) -> None:
    model = make_model(tmp_path)
    with pytest.raises(BadInput, match="not carried over"):
        trained(model, tmp_path, SFT(steps=1, optimizer=Carry.KEEP), 2)
    spec = RunSpec(recipe="self_refine", model="scripted:echo", processes=2, train=1, val=1, test=1)
    with pytest.raises(BadInput, match="nothing is trained here"):
        execute(spec.model_copy(update={"task": "chain"}), tmp_path / "run", StopAfter(None))
