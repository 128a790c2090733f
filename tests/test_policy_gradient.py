"""Group-relative policy gradients: what they compute, what they must not look at, and that they resume."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from helpers_models import make_model, workbench
from sharpen.core.artifact import ArtifactStore, hash_file
from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.errors import BadInput
from sharpen.core.policy import Policy
from sharpen.core.updater import Updated
from sharpen.curation.advantages import group_advantages
from sharpen.curation.batch import Batch, Item
from sharpen.learners.batch import example_from
from sharpen.learners.loss import token_loss
from sharpen.learners.on_policy import old_logprobs, with_inputs
from sharpen.learners.packing import micro_batches
from sharpen.learners.policy_gradient import ClippedRatio, PolicyGradient
from sharpen.learners.training import Tokens
from sharpen.models.hf import HFModel

SETTINGS = PolicyGradient(epochs=1, batch_size=4, lr=1e-2)
POLICY = Policy(model="m", base="b")
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    return make_model(tmp_path_factory.mktemp("models"))


def attempts(model: HFModel, count: int = 8, turns: int = 2, shift: float = 0.0) -> list[Attempt]:
    """Episodes of several turns whose log-probabilities are the base model's own, moved by `shift`."""
    model.load(None)
    generator = torch.Generator().manual_seed(5)

    def ids(size: int) -> tuple[int, ...]:
        return tuple(torch.randint(4, 90, (size,), generator=generator).tolist())

    made = []
    for index in range(count):
        history, spoken = ids(4 + index % 3), list[Turn]()
        spoken.append(Turn(author=Author.TEMPLATE, text="q", token_ids=history))
        for turn in range(turns):
            said = ids(3 + (index + turn) % 4)
            (logprobs,) = model.logprobs([(history, said)])
            known = tuple(value + shift for value in logprobs)
            spoken.append(Turn(author=Author.POLICY, text="a", token_ids=said, logprobs=known))
            seen = ids(5)
            spoken.append(Turn(author=Author.ENVIRONMENT, text="o", token_ids=seen))
            history = history + said + seen
        made.append(
            Attempt(task=f"t{index // 4}", index=index, policy="p", turns=tuple(spoken[:-1]), temperature=1.0)
        )
    return made


def batch(model: HFModel, rewards: list[float], **knobs: float) -> Batch:
    made = attempts(model, len(rewards), **knobs)  # type: ignore[arg-type]
    advantages = group_advantages([attempt.task for attempt in made], rewards)
    return Batch(items=tuple(Item(attempt=a, weight=w) for a, w in zip(made, advantages, strict=True)))


REWARDS = [1.0, 0.0, 0.0, 1.0, 0.3, 0.2, 0.1, 0.9]


def update(
    model: HFModel,
    folder: Path,
    data: Batch,
    settings: PolicyGradient = SETTINGS,
    progress: Callable[[float, float, str], None] = lambda done, total, note: None,
) -> tuple[Updated, ArtifactStore]:
    work = workbench(folder, model, progress)
    return settings.update(work, POLICY, data), work.store


@given(st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.floats(-5, 5)), max_size=20))
def test_advantages_are_standardised_within_groups(pairs: list[tuple[str, float | None]]) -> None:
    tasks, rewards = [task for task, _ in pairs], [reward for _, reward in pairs]
    found = group_advantages(tasks, rewards)
    for name in set(tasks):
        group = [
            (reward, advantage)
            for task, reward, advantage in zip(tasks, rewards, found, strict=True)
            if task == name and reward is not None
        ]
        assert sum(advantage for _, advantage in group) == pytest.approx(0, abs=1e-3)
        if len({reward for reward, _ in group}) == 1:
            assert all(advantage == 0 for _, advantage in group)
    assert all(a == 0 for a, reward in zip(found, rewards, strict=True) if reward is None)


def test_advantages_by_hand() -> None:
    found = group_advantages(["x", "x", "y"], [1.0, 0.0, 5.0])
    assert found == pytest.approx((math.sqrt(0.5), -math.sqrt(0.5), 0.0), abs=1e-5)


def expected_loss(logprob: float, old: float, advantage: float, reference: float) -> float:
    ratio = math.exp(logprob - old)
    loss = -min(ratio * advantage, min(max(ratio, 0.8), 1.2) * advantage)
    loss = min(loss, -3 * advantage) if advantage < 0 else loss
    lead = reference - logprob
    return loss + 0.5 * (math.exp(lead) - lead - 1)


@given(*(st.floats(-3, 0) for _ in range(2)), st.floats(-2, 2), st.floats(-3, 0), st.floats(0.1, 2))
def test_the_loss_is_its_definition(
    logprob: float, old: float, advantage: float, reference: float, weight: float
) -> None:
    objective = ClippedRatio(SETTINGS.model_copy(update={"kl": 0.5}))
    wide = torch.float64
    row = torch.tensor([[old, reference, advantage]], dtype=wide)
    numbers = torch.tensor([logprob], dtype=wide), torch.tensor([weight], dtype=wide)
    found = objective.loss(Tokens(*numbers, row, torch.zeros(1, dtype=torch.long)))
    wanted = weight * expected_loss(logprob, old, advantage, reference)
    assert float(found) == pytest.approx(wanted, abs=1e-9)


def test_on_policy_the_gradient_is_the_plain_policy_gradient(model: HFModel) -> None:
    logprobs = torch.tensor([-1.0, -2.0], requires_grad=True)
    inputs = torch.tensor([[-1.0, -1.0, 2.0], [-2.0, -2.0, -1.0]])
    ClippedRatio(SETTINGS).loss(Tokens(logprobs, torch.ones(2), inputs, torch.arange(2))).backward()
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == [-2.0, 1.0]


def test_equal_rewards_change_nothing_at_all(model: HFModel, tmp_path: Path) -> None:
    updated, _ = update(model, tmp_path, batch(model, [1.0] * 4 + [0.0] * 4))
    assert updated.policy == POLICY
    assert updated.report["steps"] == 0


def test_good_tokens_become_likelier_and_bad_ones_less(model: HFModel, tmp_path: Path) -> None:
    data = batch(model, REWARDS)
    settings = SETTINGS.model_copy(update={"lr": 2e-3, "batch_size": 8})
    updated, store = update(model, tmp_path, data, settings)
    assert updated.policy.weights is not None
    model.load(store.checked_path(updated.policy.weights.files[WEIGHTS]))
    gained = 0.0
    for item in data.items:
        example = example_from(item.attempt, model)
        (after,) = model.logprobs([(example.prompt_ids, example.response_ids)])
        before = [x for turn in item.attempt.turns for x in turn.logprobs or ()]
        told = [x for x, value in zip(after, example.mask, strict=True) if value]
        gained += item.weight * (sum(told) - sum(before))
    assert gained > 0


def test_what_the_environment_wrote_carries_no_loss(model: HFModel, tmp_path: Path) -> None:
    data = batch(model, REWARDS)
    plain, store = update(model, tmp_path / "plain", data)
    dressed = tuple(
        one.model_copy(update={"attempt": _with_logprobs_everywhere(one.attempt)}) for one in data.items
    )
    same, other = update(model, tmp_path / "dressed", Batch(items=dressed))
    assert same.policy == plain.policy
    assert same.usage.trained_tokens == sum(item.attempt.token_count for item in data.items)
    assert plain.policy.weights is not None
    assert store.intact(plain.policy.weights.files[WEIGHTS])
    assert other.intact(plain.policy.weights.files[WEIGHTS])


def _with_logprobs_everywhere(attempt: Attempt) -> Attempt:
    """The same attempt, whose observations come with log-probabilities too."""
    turns = tuple(
        turn
        if turn.author is Author.POLICY
        else turn.model_copy(update={"logprobs": (-0.1,) * len(turn.token_ids)})
        for turn in attempt.turns
    )
    return attempt.model_copy(update={"turns": turns})


def gradients(model: HFModel, data: Batch, *, packed: bool, micro_tokens: int) -> list[Tensor]:
    model.load(None)
    model.module.requires_grad_(True)
    examples = [
        with_inputs(example, old_logprobs(item.attempt), [-2.0] * len(example.response_ids), [item.weight])
        for item in data.items
        for example in [example_from(item.attempt, model)]
    ]
    micros = micro_batches(examples, packed=packed, micro_tokens=micro_tokens, device=torch.device("cpu"))
    objective = SETTINGS.model_copy(update={"kl": 0.1}).objective
    loss = sum((token_loss(model.head, micro, objective, packed=packed) for micro in micros), torch.zeros(()))
    return list(torch.autograd.grad(loss, list(model.module.parameters())))


def test_packed_equals_padded_and_accumulated_equals_whole(model: HFModel) -> None:
    data = batch(model, REWARDS, shift=0.1)
    whole = gradients(model, data, packed=False, micro_tokens=10_000)
    for packed, micro_tokens in ((True, 10_000), (True, 64), (False, 64)):
        others = gradients(model, data, packed=packed, micro_tokens=micro_tokens)
        for one, other in zip(whole, others, strict=True):
            assert float((one - other).norm()) <= 2e-5 * float(one.norm()) + 1e-6


class Killed(BaseException):
    pass


def test_an_update_that_is_killed_ends_in_the_same_bytes(model: HFModel, tmp_path: Path) -> None:
    data = batch(model, REWARDS)
    settings = SETTINGS.model_copy(update={"epochs": 3, "checkpoint_every": 1})

    def kill(done: float, total: float, note: str) -> None:
        if done == 4:
            raise Killed

    whole, store = update(model, tmp_path / "whole", data, settings)
    with pytest.raises(Killed):
        update(model, tmp_path / "killed", data, settings, kill)
    again, other = update(model, tmp_path / "killed", data, settings)
    assert again.policy == whole.policy
    assert again.report == whole.report
    assert whole.policy.weights is not None
    for sha in whole.policy.weights.files.values():
        assert hash_file(store.path(sha)) == hash_file(other.path(sha))


def test_attempts_that_cannot_be_learnt_from_are_refused(model: HFModel, tmp_path: Path) -> None:
    item = batch(model, REWARDS).items[0]
    cooler = item.attempt.model_copy(update={"temperature": 0.7})
    with pytest.raises(BadInput, match="temperature"):
        update(model, tmp_path, Batch(items=(item.model_copy(update={"attempt": cooler}),)))
    bare = item.attempt.model_copy(update={"turns": (item.attempt.turns[0], Turn(author="policy", text="a"))})
    with pytest.raises(BadInput, match="log-probabilities"):
        update(model, tmp_path, Batch(items=(item.model_copy(update={"attempt": bare}),)))
