"""Losses and advantages: their identities, and that planted faults do not pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from helpers_models import make_model, workbench
from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.errors import SharpenError
from sharpen.core.policy import Policy
from sharpen.core.recipe import Setting
from sharpen.core.updater import Updated
from sharpen.curation.advantages import batch_standardised, centred, group_advantages, leave_one_out
from sharpen.curation.batch import Batch, Item
from sharpen.experiment.check_recipe import StopAfter
from sharpen.experiment.execute import execute
from sharpen.experiment.spec import RunSpec
from sharpen.learners.batch import Example
from sharpen.learners.loss import token_loss
from sharpen.learners.losses import KL, Level, clipped, kl, log_ratios, negative_aware
from sharpen.learners.negative_aware import Omega
from sharpen.learners.packing import micro_batches
from sharpen.learners.policy_gradient import PolicyGradient
from sharpen.learners.sft import SFT
from sharpen.learners.training import Normalisation
from sharpen.models.hf import HFModel
from sharpen.tasks.settings import GROUPS

Estimator = Callable[[Sequence[str], Sequence[float | None]], tuple[float, ...]]
ESTIMATORS: list[Estimator] = [group_advantages, centred, leave_one_out, batch_standardised]
RATES = st.floats(0.05, 0.95)


def slope(loss: Callable[[Tensor], Tensor], at: float = 0.0) -> float:
    """Derivative of a token's loss by its log-probability."""
    x = torch.tensor([at], dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(loss(x).sum(), x)
    return float(grad)


def wide(value: float) -> Tensor:
    return torch.tensor([value], dtype=torch.float64)


def slopes(rate: float, omega: Omega) -> tuple[float, float]:
    """On-policy slopes of a right and a wrong token, times the group's weight."""
    right, wrong = (
        slope(lambda x, s=sign: negative_aware(x, wide(s), wide(rate), floor=1.0)) for sign in (1.0, 0.0)
    )
    return omega.at(rate) * right, omega.at(rate) * wrong


@given(RATES)
def test_on_policy_implied_negatives_are_the_policy_gradient(rate: float) -> None:
    up, down = slopes(rate, Omega.ROOT)
    assert -up == pytest.approx((1 - rate) / math.sqrt(rate * (1 - rate)))
    assert -down == pytest.approx((0 - rate) / math.sqrt(rate * (1 - rate)))
    up, down = slopes(rate, Omega.LINEAR)
    assert (-up, -down) == pytest.approx((1 - rate, -rate))
    up, down = slopes(rate, Omega.ONE)
    assert (-up, -down) == pytest.approx((1, -rate / (1 - rate)))


@given(RATES, st.floats(-3, 3), st.floats(0.01, 1.0))
def test_the_floor_keeps_the_value_finite_and_the_gradient_alive(
    rate: float, ratio: float, floor: float
) -> None:
    z = (1 - rate * math.exp(ratio)) / (1 - rate)
    found = negative_aware(wide(ratio), wide(0.0), wide(rate), floor=floor)
    assert float(found) == pytest.approx(-math.log(max(z, floor)))
    grad = slope(lambda x: negative_aware(x, wide(0.0), wide(rate), floor=floor), ratio)
    assert grad == pytest.approx(rate * math.exp(ratio) / (1 - rate) / max(z, floor))
    if floor == 1.0:
        assert grad <= math.exp(ratio) * rate / (1 - rate) + 1e-9


@given(RATES, st.floats(-3, 3))
def test_without_negatives_only_the_likelihood_of_right_ones_is_left(rate: float, ratio: float) -> None:
    for right in (1.0, 0.0):
        grad = slope(
            lambda x, s=right: negative_aware(x, wide(s), wide(rate), floor=1.0, negative=0.0), ratio
        )
        assert grad == pytest.approx(-right)


@given(st.floats(-1, 1), st.floats(0.05, 0.5), st.floats(0.05, 0.5), st.floats(-2, 2))
def test_beyond_the_clip_nothing_more_is_earned(
    ratio: float, low: float, high: float, advantage: float
) -> None:
    grad = slope(lambda x: clipped(x.exp(), wide(advantage), low=low, high=high), ratio)
    r = math.exp(ratio)
    outside = (advantage > 0 and r > 1 + high) or (advantage < 0 and r < 1 - low)
    assert grad == pytest.approx(0.0 if outside else -advantage * r)


@given(st.lists(st.floats(-2, 2), min_size=2, max_size=6), st.data())
def test_kl_estimators_have_the_right_mean_or_gradient(logits: list[float], data: st.DataObject) -> None:
    others = data.draw(st.lists(st.floats(-2, 2), min_size=len(logits), max_size=len(logits)))
    theta = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    p, q = theta.log_softmax(0), torch.tensor(others, dtype=torch.float64).log_softmax(0)
    true = (p.exp() * (p - q)).sum()
    for form in (KL.K1, KL.K3):
        assert float((p.exp() * kl(p, q, form)).sum().detach()) == pytest.approx(float(true.detach()))
    (wanted,) = torch.autograd.grad(true, theta, retain_graph=True)
    (found,) = torch.autograd.grad((p.exp().detach() * kl(p, q, KL.K2)).sum(), theta)
    assert torch.allclose(found, wanted, atol=1e-9)
    assert bool((kl(p, q, KL.K3) >= -1e-12).all())


def test_ratios_of_whole_responses() -> None:
    logprobs, old = torch.tensor([0.1, 0.3, -0.2]), torch.zeros(3)
    documents = torch.tensor([0, 0, 1])
    found = {level: log_ratios(logprobs, old, level, documents).tolist() for level in Level}
    assert found[Level.TOKEN] == pytest.approx([0.1, 0.3, -0.2])
    assert found[Level.SEQUENCE] == pytest.approx([0.4, 0.4, -0.2])
    assert found[Level.SEQUENCE_MEAN] == pytest.approx([0.2, 0.2, -0.2])


rewarded = st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.floats(-5, 5)), max_size=20)


@pytest.mark.parametrize("estimate", ESTIMATORS)
@given(pairs=rewarded, chance=st.randoms())
def test_advantages_follow_the_attempt_not_its_place(
    estimate: Estimator, pairs: list[tuple[str, float | None]], chance: object
) -> None:
    """A mix-up of groups would show here: shuffling the attempts shuffles the advantages alike."""
    order = list(range(len(pairs)))
    chance.shuffle(order)  # type: ignore[attr-defined]
    plain = estimate([task for task, _ in pairs], [reward for _, reward in pairs])
    mixed = estimate([pairs[i][0] for i in order], [pairs[i][1] for i in order])
    assert mixed == pytest.approx(tuple(plain[i] for i in order), abs=1e-6)
    assert all(a == 0 for a, (_, reward) in zip(plain, pairs, strict=True) if reward is None)


@pytest.mark.parametrize("estimate", ESTIMATORS)
@given(tasks=st.lists(st.sampled_from("ab"), max_size=8), reward=st.sampled_from([0.0, 0.5, 1.0]))
def test_equal_rewards_say_nothing(estimate: Estimator, tasks: list[str], reward: float) -> None:
    assert estimate(tasks, [reward] * len(tasks)) == pytest.approx((0.0,) * len(tasks))


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=8))
def test_leaving_one_out_is_centring_stretched(rewards: list[float]) -> None:
    tasks, size = ["t"] * len(rewards), len(rewards)
    stretched = [value * size / (size - 1) for value in centred(tasks, rewards)]
    assert leave_one_out(tasks, rewards) == pytest.approx(stretched, abs=1e-6)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    return make_model(tmp_path_factory.mktemp("models"))


def example(chance: torch.Generator, size: int, link: str = "") -> Example:
    prompt, response = (
        tuple(torch.randint(4, 90, (count,), generator=chance).tolist()) for count in (3, size)
    )
    mask = tuple(float(place % 3 != 1) for place in range(size))
    return Example(prompt, response, mask, weight=0.5 + size / 10, link=link)


def step_loss(model: HFModel, settings: SFT, examples: Sequence[Example], micro_tokens: int) -> float:
    weighted, divisor = settings.normalised(examples)
    micros = micro_batches(weighted, packed=True, micro_tokens=micro_tokens, device=torch.device("cpu"))
    with torch.no_grad():
        parts = [token_loss(model.head, m, settings.objective, packed=True) for m in micros]
    return float(sum(parts)) / divisor


@pytest.mark.parametrize("normalisation", Normalisation)
def test_a_step_seen_twice_or_in_parts_has_the_same_loss(
    model: HFModel, normalisation: Normalisation
) -> None:
    """A wrong denominator would show here."""
    chance = torch.Generator().manual_seed(1)
    examples = [example(chance, size, link) for size, link in ((3, "a"), (9, "a"), (5, ""), (12, "b"))]
    settings = SFT(epochs=1, normalisation=normalisation, length=7)
    whole = step_loss(model, settings, examples, 10_000)
    assert step_loss(model, settings, examples, 16) == pytest.approx(whole, rel=1e-5)
    renamed = [one._replace(link=one.link and one.link + "'") for one in examples]
    assert step_loss(model, settings, [*examples, *renamed], 10_000) == pytest.approx(whole, rel=1e-5)


def test_linked_examples_share_a_forward_pass_and_have_numbers_in_order() -> None:
    chance = torch.Generator().manual_seed(1)
    pairs = [example(chance, 2 + i, f"pair {i}") for i in range(4) for _ in range(2)]
    for packed in (True, False):
        for micro in micro_batches(pairs, packed=packed, micro_tokens=8, device=torch.device("cpu")):
            numbers = micro.documents.tolist()
            assert numbers == sorted(numbers)
            assert (max(numbers) + 1) % 2 == 0


def attempt(model: HFModel, policy: Policy, shift: int) -> Attempt:
    """An attempt whose log-probabilities belong to its tokens, or to those `shift` places on."""
    chance = torch.Generator().manual_seed(9)
    prompt, said = (tuple(torch.randint(4, 90, (n,), generator=chance).tolist()) for n in (4, 8))
    (known,) = model.logprobs([(prompt, said)])
    turns = (
        Turn(author=Author.TEMPLATE, text="q", token_ids=prompt),
        Turn(author=Author.POLICY, text="a", token_ids=said, logprobs=known[shift:] + known[:shift]),
    )
    return Attempt(task="t", index=0, policy=policy.version, turns=turns, temperature=1.0)


def trained(model: HFModel, folder: Path, shift: int) -> Updated:
    policy = Policy(model="m", base="b")
    model.load(None)
    batch = Batch(items=(Item(attempt=attempt(model, policy, shift), weight=1.0),))
    return PolicyGradient(epochs=1, lr=1e-3).update(workbench(folder, model), policy, batch)


def test_log_probabilities_that_belong_elsewhere_stop_the_training(model: HFModel, tmp_path: Path) -> None:
    """A mask that is off by one shows as a gap between sampler and learner."""
    fine = trained(model, tmp_path / "fine", 0)
    assert fine.report["gap"]["mean"] <= 1e-4
    with pytest.raises(SharpenError, match="disagree"):
        trained(model, tmp_path / "shifted", 1)


def test_one_step_a_round_on_standardised_rewards_and_on_implied_negatives_is_the_same_curve(
    tmp_path: Path,
) -> None:
    recipe = str(Path(__file__).parent / "recipes" / "one_step.py")

    def curve(loss: str) -> list[float]:
        request = {**GROUPS.request, "train": 72, "val": 2, "test": 2, "control_samples": 1, "threads": 1}
        spec = RunSpec.at(recipe, Setting(request=request, config={"loss": loss}), {"seed": 1})
        rounds = execute(spec, tmp_path / loss, StopAfter(None)).rounds
        return [item.exploration.pass_at_1 for item in rounds if item.exploration]

    root, gradient = curve("root"), curve("gradient")
    assert len(set(root)) == 3, "nothing was learnt"
    assert root == pytest.approx(gradient, abs=0.011), "one answer of 96 may differ by rounding"
