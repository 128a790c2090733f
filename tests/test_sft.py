"""The supervised learner: its loss is what it says, however it is computed, interrupted or continued."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from helpers_models import FAMILIES, make_model
from sharpen.core.artifact import ArtifactStore, Kind, hash_file
from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.errors import BadInput, Damaged, Mismatch, SharpenError
from sharpen.core.policy import Policy
from sharpen.core.updater import Stopwatch, Workbench
from sharpen.curation.batch import Batch as Curated
from sharpen.curation.batch import Item
from sharpen.learners.batch import Batch, Example, example_from
from sharpen.learners.fit import CHECKPOINT_FILE
from sharpen.learners.loss import token_loss
from sharpen.learners.packing import first_fit, micro_batches, packs
from sharpen.learners.sft import SFT, Carry, Likelihood, Schedule, Start, TrainReport, train
from sharpen.models.hf import HFModel

WEIGHTS, OPTIMIZER = "model.safetensors", "optimizer.safetensors"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def llama(root: Path) -> HFModel:
    return make_model(root)


def examples(count: int = 10, seed: int = 0) -> tuple[Example, ...]:
    generator = torch.Generator().manual_seed(seed)

    def ids(least: int, most: int) -> tuple[int, ...]:
        size = int(torch.randint(least, most, (), generator=generator))
        return tuple(torch.randint(4, 90, (size,), generator=generator).tolist())

    made = []
    for place in range(count):
        response = ids(2, 30)
        mask = tuple(0.0 if (place + i) % 5 == 0 else 1.0 for i in range(len(response)))
        made.append(Example(ids(1, 20), response, mask, 1.0 + place % 3))
    return tuple(made)


def fit(
    model: HFModel,
    to: Path,
    batch: Batch | None = None,
    *,
    start: Path | None = None,
    moments: Path | None = None,
    progress: Callable[[int, int, float], None] = lambda step, total, loss: None,
    **knobs: object,
) -> TrainReport:
    knobs = {"lr": 1e-2, "batch_size": 4, **knobs}
    if "epochs" not in knobs:
        knobs.setdefault("steps", 6)
    return train(
        model,
        SFT(**knobs),
        batch or Batch(examples()),
        start_weights=start,
        optimizer_state=moments,
        seed=7,
        scratch=to / "scratch",
        output=to,
        progress=progress,
        should_stop=lambda: None,
    )


def plain_loss(model: HFModel, batch: tuple[Example, ...]) -> Tensor:
    """The definition, one document at a time through the model's own forward."""
    total, weight = torch.zeros(()), 0.0
    for example in batch:
        ids = torch.tensor([example.prompt_ids + example.response_ids])
        logprobs = model.module(input_ids=ids).logits[0].log_softmax(-1)
        for i, (token, value) in enumerate(zip(example.response_ids, example.mask, strict=True)):
            total = total - example.weight * value * logprobs[len(example.prompt_ids) - 1 + i, token]
            weight += example.weight * value
    return total / weight


def gradients(model: HFModel, loss: Tensor) -> list[Tensor]:
    model.module.requires_grad_(True)
    return list(torch.autograd.grad(loss, list(model.module.parameters())))


@pytest.mark.parametrize("micro_tokens", [64, 10_000])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_packed_and_padded_equal_the_definition(
    root: Path, family: str, packed: bool, micro_tokens: int
) -> None:
    model, batch = make_model(root, family), examples(6)
    model.module.requires_grad_(True)
    assert packs(model.head)
    total = sum(example.total_weight for example in batch)
    micros = micro_batches(batch, packed=packed, micro_tokens=micro_tokens, device=torch.device("cpu"))
    loss = (
        sum((token_loss(model.head, micro, Likelihood(), packed=packed) for micro in micros), torch.zeros(()))
        / total
    )
    expected = plain_loss(model, batch)
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    for ours, theirs in zip(gradients(model, loss), gradients(model, expected), strict=True):
        assert float((ours - theirs).norm()) <= 1e-5 * float(theirs.norm()) + 1e-7


def test_chunked_logits_equal_whole_ones(llama: HFModel, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = examples(6)
    (micro,) = micro_batches(batch, packed=True, micro_tokens=10_000, device=torch.device("cpu"))
    llama.module.requires_grad_(True)
    whole = gradients(llama, token_loss(llama.head, micro, Likelihood(), packed=True))
    monkeypatch.setattr("sharpen.learners.loss.LOGITS_AT_ONCE", 500)
    chunked = gradients(llama, token_loss(llama.head, micro, Likelihood(), packed=True))
    for one, other in zip(whole, chunked, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-4)


@given(lengths=st.lists(st.integers(1, 50), min_size=1, max_size=40), size=st.integers(50, 120))
def test_first_fit_keeps_every_document_once_and_overfills_no_row(lengths: list[int], size: int) -> None:
    rows = first_fit(lengths, size)
    assert sorted(index for row in rows for index in row) == list(range(len(lengths)))
    assert all(sum(lengths[index] for index in row) <= size for row in rows)
    assert sum(sum(lengths[i] for i in row) <= size / 2 for row in rows) <= 1


def test_a_model_that_mixes_documents_is_noticed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(root)
    clean = fit(model, tmp_path / "a")
    monkeypatch.setattr("sharpen.learners.packing.packs", lambda head: False)
    padded = fit(model, tmp_path / "b")
    assert clean.notices == () and "mixes" in padded.notices[0]
    assert padded.losses == pytest.approx(clean.losses, rel=1e-3)


def test_accumulated_steps_equal_whole_ones(llama: HFModel, tmp_path: Path) -> None:
    whole = fit(llama, tmp_path / "whole", steps=1, micro_tokens=10_000, batch_size=10)
    parts = fit(llama, tmp_path / "parts", steps=1, micro_tokens=64, batch_size=10)
    assert parts.first_loss == pytest.approx(whole.first_loss, rel=1e-5)
    assert parts.grad_norm_last == pytest.approx(whole.grad_norm_last, rel=1e-5)


def test_first_loss_and_token_counts_are_the_batchs(llama: HFModel, tmp_path: Path) -> None:
    batch = examples()
    llama.load(None)
    expected = float(plain_loss(llama, batch).detach())
    report = fit(llama, tmp_path, Batch(batch), epochs=2, batch_size=10)
    assert report.first_loss == pytest.approx(expected, rel=1e-5)
    assert report.steps == 2
    assert report.processed_tokens == 2 * sum(example.length for example in batch)
    assert report.trained_tokens == 2 * sum(int(sum(example.mask)) for example in batch)


@pytest.mark.parametrize("lora_rank", [None, 4])
def test_training_learns_and_repeats_to_the_byte(root: Path, tmp_path: Path, lora_rank: int | None) -> None:
    reports = []
    for name in ("a", "b"):
        reports.append(fit(make_model(root), tmp_path / name, steps=25, batch_size=10, lora_rank=lora_rank))
    assert reports[0].losses == reports[1].losses
    assert reports[0].last_loss < 0.7 * reports[0].first_loss
    assert hash_file(tmp_path / "a" / WEIGHTS) == hash_file(tmp_path / "b" / WEIGHTS)


class Killed(BaseException):
    pass


def kill_at(wanted: int) -> Callable[[int, int, float], None]:
    def progress(step: int, total: int, loss: float) -> None:
        if step == wanted:
            raise Killed

    return progress


@pytest.mark.parametrize("lora_rank", [None, 4])
@pytest.mark.parametrize("when", [1, 5, 8])
def test_a_killed_training_ends_in_the_same_bytes(
    root: Path, tmp_path: Path, when: int, lora_rank: int | None
) -> None:
    knobs = {"steps": 8, "optimizer": Carry.KEEP, "lora_rank": lora_rank, "checkpoint_every": 2}
    whole = fit(make_model(root), tmp_path / "whole", **knobs)
    model = make_model(root)
    with pytest.raises(Killed):
        fit(model, tmp_path / "killed", progress=kill_at(when), **knobs)
    again = fit(model if when == 5 else make_model(root), tmp_path / "killed", **knobs)
    assert again.model_copy(update={"model_seconds": 0}) == whole.model_copy(update={"model_seconds": 0})
    for file in (WEIGHTS, OPTIMIZER):
        assert hash_file(tmp_path / "killed" / file) == hash_file(tmp_path / "whole" / file)


def test_a_killed_training_leaves_no_trace_in_the_model(llama: HFModel, tmp_path: Path) -> None:
    llama.load(None)
    before = {name: p.clone() for name, p in llama.weights.parameters().items()}
    for lora_rank in (None, 4):
        with pytest.raises(Killed):
            fit(llama, tmp_path / str(lora_rank), progress=kill_at(2), lora_rank=lora_rank)
        llama.load(None)
        after = llama.weights.parameters()
        assert before.keys() == after.keys() and all(torch.equal(before[n], after[n]) for n in before)


def killed_checkpoint(model: HFModel, folder: Path) -> Path:
    with pytest.raises(Killed):
        fit(model, folder, progress=kill_at(4), checkpoint_every=2)
    return folder / "scratch" / CHECKPOINT_FILE


def test_a_foreign_checkpoint_is_refused(llama: HFModel, tmp_path: Path) -> None:
    killed_checkpoint(llama, tmp_path)
    with pytest.raises(Mismatch, match=CHECKPOINT_FILE):
        fit(llama, tmp_path, lr=1e-3, checkpoint_every=2)


@given(place=st.floats(0, 1, exclude_max=True), cut=st.booleans())
@settings(max_examples=12, deadline=None)
def test_a_damaged_checkpoint_is_found(
    llama: HFModel, tmp_path_factory: pytest.TempPathFactory, place: float, cut: bool
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    path = killed_checkpoint(llama, folder)
    data = bytearray(path.read_bytes())
    at = int(place * len(data))
    data[at] ^= 0x10
    path.write_bytes(data[:at] if cut else data)
    with pytest.raises((Damaged, Mismatch), match="delete it"):
        fit(llama, folder, checkpoint_every=2)
    path.unlink()
    assert fit(llama, folder, checkpoint_every=2).steps == 6


@pytest.mark.parametrize("lora_rank", [None, 4])
@pytest.mark.parametrize("schedule", list(Schedule))
def test_kept_moments_make_two_updates_one(
    llama: HFModel, tmp_path: Path, schedule: Schedule, lora_rank: int | None
) -> None:
    knobs = {
        "batch_size": 10,
        "schedule": schedule,
        "total_steps": 6,
        "warmup_steps": 1,
        "optimizer": Carry.KEEP,
        "lora_rank": lora_rank,
    }
    whole = fit(llama, tmp_path / "4", steps=4, **knobs)
    first = fit(llama, tmp_path / "2", steps=2, **knobs)
    start, moments = tmp_path / "2" / WEIGHTS, tmp_path / "2" / OPTIMIZER
    then = fit(llama, tmp_path / "2+2", steps=2, start=start, moments=moments, **knobs)
    assert first.losses + then.losses == pytest.approx(whole.losses, rel=1e-3)
    forgot = fit(llama, tmp_path / "forgot", steps=2, start=start, **knobs)
    assert abs(forgot.last_loss - whole.last_loss) > abs(then.last_loss - whole.last_loss)


def test_moments_and_adapters_of_another_shape_are_refused(llama: HFModel, tmp_path: Path) -> None:
    full, lora = tmp_path / "full", tmp_path / "lora"
    fit(llama, full, optimizer=Carry.KEEP)
    fit(llama, lora, lora_rank=4)
    with pytest.raises(BadInput, match="other weights"):
        fit(llama, tmp_path, lora_rank=4, optimizer=Carry.KEEP, moments=full / OPTIMIZER)
    with pytest.raises(BadInput, match="adapter of rank 4"):
        fit(llama, tmp_path, start=lora / WEIGHTS)
    with pytest.raises(BadInput, match="adapter of rank 4"):
        fit(llama, tmp_path, start=lora / WEIGHTS, lora_rank=2)
    with pytest.raises(BadInput, match="full set"):
        fit(llama, tmp_path, start=full / WEIGHTS, lora_rank=4)
    with pytest.raises(BadInput, match="reset"):
        fit(llama, tmp_path, moments=full / OPTIMIZER)


def test_merged_adapter_equals_unmerged(root: Path, llama: HFModel, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    fit(llama, tmp_path / "t", lora_rank=4, steps=10)
    ids = torch.tensor([examples()[0].prompt_ids])
    unmerged = llama.module(ids).logits
    llama.export(tmp_path / "t" / WEIGHTS, tmp_path / "out", merged=True)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32).eval()
    assert torch.allclose(merged(ids).logits, unmerged, atol=1e-4)
    llama.load(None)
    assert not torch.allclose(llama.module(ids).logits, unmerged, atol=1e-2)


@pytest.mark.parametrize("lora_rank", [None, 4])
def test_loading_what_was_trained_is_free_and_exact(
    llama: HFModel, tmp_path: Path, lora_rank: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(llama, tmp_path, lora_rank=lora_rank)
    trained = {name: p.clone() for name, p in llama.weights.parameters().items()}
    with monkeypatch.context() as patched:
        patched.setattr("sharpen.models.hf_weights.copy_into", lambda *_: pytest.fail("copied"))
        llama.load(tmp_path / WEIGHTS)
    llama.load(None)
    llama.load(tmp_path / WEIGHTS)
    loaded = llama.weights.parameters()
    assert trained.keys() == loaded.keys() and all(torch.equal(trained[n], loaded[n]) for n in trained)


@pytest.mark.parametrize(
    ("batch", "problem"),
    [
        (Batch(()), "empty"),
        (Batch((Example((5,), (6, 7), (0.0, 0.0)),)), "masked"),
        (Batch((Example((5,), (6, 7), (1.0, 1.0), 0.0),)), "masked"),
        (Batch((Example((), (6,), (1.0,)),)), "empty prompt"),
        (Batch((Example((5,), (6,), (1.0, 1.0)),)), "mask entries"),
        (Batch((Example((5,), (6,), (1.0,), -1.0),)), "negative"),
        (Batch((Example((5,) * 600, (6,), (1.0,)),)), "600|601"),
    ],
)
def test_batches_with_nothing_to_learn_are_refused(
    llama: HFModel, tmp_path: Path, batch: Batch, problem: str
) -> None:
    with pytest.raises(BadInput, match=problem):
        fit(llama, tmp_path, batch)


def test_a_loss_that_explodes_names_step_and_remedy(llama: HFModel, tmp_path: Path) -> None:
    with pytest.raises(SharpenError, match=r"step \d+.*learning rate"):
        fit(llama, tmp_path, lr=1e30, schedule=Schedule.CONSTANT, steps=20)


def test_steps_or_epochs_but_not_both() -> None:
    for knobs in ({}, {"steps": 1, "epochs": 1}):
        with pytest.raises(BadInput, match="exactly one"):
            SFT(**knobs)


@given(warmup=st.integers(0, 5), total=st.integers(1, 30), schedule=st.sampled_from(Schedule))
def test_rates_rise_then_fall_and_stay_in_range(warmup: int, total: int, schedule: Schedule) -> None:
    knobs = SFT(steps=total, warmup_steps=warmup, schedule=schedule)
    rates = [knobs.rate(step, total) for step in range(total)]
    assert all(0 < rate <= 1 for rate in rates)
    assert rates[:warmup] == sorted(rates[:warmup])
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)


# ------------------------------------------------------------------------------------- from attempts


def attempt(*turns: Turn) -> Attempt:
    return Attempt(task="t", index=0, policy="p", turns=turns)


def test_only_policy_and_teacher_turns_carry_loss(llama: HFModel) -> None:
    made = attempt(
        Turn(author=Author.TEMPLATE, text="ab"),
        Turn(author=Author.POLICY, text="cd", token_ids=(17, 18)),
        Turn(author=Author.TOOL, text="e"),
        Turn(author=Author.POLICY, text="f", token_ids=(20,), trained=False),
        Turn(author=Author.TEACHER, text="gh"),
    )
    example = example_from(made, llama, weight=2.0)
    assert example.prompt_ids == llama.encode("ab") and example.prompt_ids[0] == 1
    assert example.response_ids == (*llama.encode_response("cdefgh"), llama.eos_id)
    assert example.mask == (1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0)
    assert example.weight == 2.0


def test_update_makes_a_policy_whose_weights_do_better(root: Path, tmp_path: Path) -> None:
    model, store = make_model(root), ArtifactStore(tmp_path / "store")
    turns = (Turn(author=Author.TEMPLATE, text="2+2="), Turn(author=Author.TEACHER, text="4"))
    batch = Curated(items=(Item(attempt=attempt(*turns)),) * 4)
    policy = Policy(model="policy", base=model.fingerprint)
    pair = (model.encode("2+2="), (*model.encode_response("4"), model.eos_id))
    knobs = SFT(steps=5, lr=1e-2, start=Start.PREVIOUS, optimizer=Carry.KEEP)
    scores = [sum(model.logprobs([pair])[0])]
    watch = Stopwatch()
    for round_ in range(2):
        scratch = tmp_path / f"scratch{round_}"
        work = Workbench(store, {"policy": model}, scratch, 3, watch, lambda done, total, note: None)
        updated = knobs.update(work, policy, batch)
        policy = updated.policy
        scores.append(sum(model.logprobs([pair])[0]))
        assert updated.usage.trained_tokens == 5 * 4 * 2
        assert "model_seconds" not in updated.report
    assert scores == sorted(scores) and watch.seconds > 0
    files = policy.parts[Kind.WEIGHTS].files
    assert set(files) == {WEIGHTS, OPTIMIZER} and all(map(store.intact, files.values()))


def test_settings_and_batches_come_without_torch() -> None:
    program = (
        "import sys, sharpen.learners.batch, sharpen.learners.sft\n"
        "sharpen.learners.sft.SFT(steps=1)\n"
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
