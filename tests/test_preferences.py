"""Preference losses: identities, spans, references; and that the learners learn what they are told."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers_models import make_model, workbench
from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.errors import BadInput
from sharpen.core.policy import Policy
from sharpen.core.updater import Updated, Updater, Workbench
from sharpen.curation.groups import Graded, GradedBatch
from sharpen.curation.pairs import Pair, Pairs, Span
from sharpen.learners.batch import Example, example_from
from sharpen.learners.desirable import Desirable
from sharpen.learners.preference import Preference, pair_examples
from sharpen.learners.preference_losses import LOSSES, Pairing, Shape, Side, desirable
from sharpen.learners.reference import Reference
from sharpen.learners.spans import after_text, divergence
from sharpen.models.hf import HFModel

SUMS = st.floats(-30, -0.5)
LENGTHS = st.integers(1, 20)
MIRRORED = [shape for shape in Shape if shape not in (Shape.EXO, Shape.REFINING)]


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def side(total: float, reference: float, length: int) -> Side:
    return Side(column(total), column(reference), column(length))


def pairing(better: Side, worse: Side, label: float = 1.0) -> Pairing:
    return Pairing(better, worse, column(label), column(0.3), beta=0.4, gamma=0.0)


@pytest.mark.parametrize("shape", MIRRORED)
@given(SUMS, SUMS, LENGTHS, SUMS, SUMS, LENGTHS, st.floats(0, 1))
@settings(max_examples=40)
def test_a_soft_label_mixes_the_pair_and_its_mirror_image(
    shape: Shape, p: float, q: float, n: int, r: float, s: float, m: int, label: float
) -> None:
    left, right = side(p, q, n), side(r, s, m)
    loss = LOSSES[shape]
    wanted = label * loss(pairing(left, right)) + (1 - label) * loss(pairing(right, left))
    assert float(loss(pairing(left, right, label))) == pytest.approx(float(wanted), abs=1e-9)


@given(SUMS, LENGTHS, SUMS, LENGTHS)
def test_at_the_reference_nothing_is_known(p: float, n: int, r: float, m: int) -> None:
    pairs = pairing(side(p, p, n), side(r, r, m))
    found = {shape: float(LOSSES[shape](pairs)) for shape in Shape if shape is not Shape.EXO}
    assert found[Shape.SIGMOID] == pytest.approx(math.log(2))
    assert found[Shape.IPO] == pytest.approx(1 / (2 * 0.4) ** 2)
    assert found[Shape.REFINING] == pytest.approx(1)


@given(SUMS, SUMS, SUMS, SUMS, st.floats(0.01, 0.99))
def test_the_reverse_kl_is_least_where_the_label_is(
    p: float, q: float, r: float, s: float, label: float
) -> None:
    found = float(LOSSES[Shape.EXO](pairing(side(p, q, 1), side(r, s, 1), label)))
    assert found >= -1e-9
    there = side(q + math.log(label / (1 - label)) / 0.4, q, 1)
    assert float(LOSSES[Shape.EXO](pairing(there, side(s, s, 1), label))) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("shape", Shape)
@given(st.floats(-30, 0), st.floats(-30, 0), LENGTHS, LENGTHS)
@settings(max_examples=40)
def test_losses_and_slopes_are_finite(shape: Shape, p: float, r: float, n: int, m: int) -> None:
    totals = torch.tensor([p, r], requires_grad=True)
    better = Side(totals[:1], column(-3).float(), column(n).float())
    worse = Side(totals[1:], column(-3).float(), column(m).float())
    pairs = Pairing(better, worse, column(0.9).float(), column(1).float(), beta=0.4, gamma=0.5)
    (grad,) = torch.autograd.grad(LOSSES[shape](pairs).sum(), totals)
    assert bool(grad.isfinite().all())


@given(st.floats(-5, 5), st.floats(0, 5))
def test_good_ones_are_to_gain_more_than_the_drift_and_bad_ones_less(lead: float, drift: float) -> None:
    good, bad = (float(desirable(column(lead), column(kind), column(drift), beta=0.5)) for kind in (1, 0))
    assert good + bad == pytest.approx(1)
    assert (good < bad) == (lead > drift) or lead == pytest.approx(drift)


tokens = st.lists(st.integers(0, 3), max_size=6)


@given(tokens, tokens)
def test_before_the_divergence_all_is_the_same(left: list[int], right: list[int]) -> None:
    place = divergence(left, right)
    assert left[:place] == right[:place]
    assert place in (len(left), len(right)) or left[place] != right[place]


@pytest.mark.parametrize(
    ("text", "marker", "left"),
    [("ab|c", "|", "c"), ("a|b|c", "|", "c"), ("abc", "|", "abc"), ("ab|", "|", ""), ("xxyz", "xy", "z")],
)
def test_what_stands_after_a_marker(text: str, marker: str, left: str) -> None:
    vocabulary = sorted(set(text))
    ids = [vocabulary.index(sign) for sign in text]
    assert text[after_text(ids, vocabulary, marker) :] == left


def test_a_token_that_holds_the_end_of_a_marker_and_more_is_not_after_it() -> None:
    assert after_text([0, 1, 2], ["a<", "/t>b", "c"], "</t>") == 2


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    return make_model(tmp_path_factory.mktemp("models"))


def attempt(text: str, task: str = "t") -> Attempt:
    turns = (Turn(author=Author.TEMPLATE, text="Q: 1+2?\nA:"), Turn(author=Author.TEACHER, text=text))
    return Attempt(task=task, index=0, policy="p", turns=turns)


def spoken(model: HFModel, example: Example) -> str:
    ids = [i for i, value in zip(example.response_ids, example.mask, strict=True) if value]
    return model.decode(ids)


@pytest.mark.parametrize(
    ("span", "better", "worse"),
    [
        (Span.WHOLE, " so | 12", " so | 13"),
        (Span.DIVERGING, "2", "3"),
        (Span.AFTER, " 12", " 13"),
    ],
)
def test_loss_lies_on_the_span(model: HFModel, span: Span, better: str, worse: str) -> None:
    pair = Pair(better=attempt(" so | 12"), worse=attempt(" so | 13"), span=span, marker="|")
    found = tuple(spoken(model, example) for example in pair_examples(pair, model))
    assert found == (better, worse)


def test_equal_answers_cannot_be_told_apart(model: HFModel) -> None:
    pair = Pair(better=attempt(" 12"), worse=attempt(" 12"), span=Span.DIVERGING)
    with pytest.raises(BadInput, match="without trained tokens"):
        pair_examples(pair, model)


START = Policy(model="m", base="b")


def worked(
    model: HFModel, folder: Path, updater: Updater, batch: object, policy: Policy = START
) -> tuple[Updated, Workbench]:
    shutil.rmtree(folder / "scratch", ignore_errors=True)
    work = workbench(folder, model)
    return updater.update(work, policy, batch), work


def lead(model: HFModel, work: Workbench, updated: Updated, *texts: str) -> list[float]:
    """How much likelier each answer has become."""
    rows = [example_from(attempt(text), model) for text in texts]
    known = []
    assert updated.policy.weights is not None
    for sha in (None, updated.policy.weights.files["model.safetensors"]):
        model.load(work.store.checked_path(sha) if sha else None)
        known.append([sum(row) for row in model.logprobs([(e.prompt_ids, e.response_ids) for e in rows])])
    return [after - before for before, after in zip(*known, strict=True)]


@pytest.mark.parametrize("shape", Shape)
def test_the_better_answer_gains_on_the_worse_one(model: HFModel, tmp_path: Path, shape: Shape) -> None:
    pair = Pair(better=attempt(" 12"), worse=attempt(" 7"), refines=shape is Shape.REFINING)
    learner = Preference(steps=3, lr=1e-3, shape=shape, smoothing=0.01)
    updated, work = worked(model, tmp_path, learner, Pairs(items=(pair, pair)))
    better, worse = lead(model, work, updated, " 12", " 7")
    assert better > worse


def test_good_answers_gain_on_bad_ones(model: HFModel, tmp_path: Path) -> None:
    graded = [(" 12", True), (" 7", False), (" 12", True), (" 8", False)]
    items = tuple(Graded(attempt=attempt(text), right=right, rate=0.5) for text, right in graded)
    updated, work = worked(model, tmp_path, Desirable(steps=3, lr=1e-3), GradedBatch(items=items))
    better, worse = lead(model, work, updated, " 12", " 7")
    assert better > worse


def test_the_weight_of_refining_pairs(model: HFModel, tmp_path: Path) -> None:
    """At 0 they are as good as not there."""
    plain = Pair(better=attempt(" 12"), worse=attempt(" 7"))
    again = Pair(better=attempt(" 3"), worse=attempt(" 4"), refines=True)
    learner = Preference(epochs=1, lr=1e-3, refinement=0.0)
    one, _ = worked(model, tmp_path / "1", learner, Pairs(items=(plain,)))
    both, _ = worked(model, tmp_path / "2", learner, Pairs(items=(plain, again)))
    assert one.policy.version == both.policy.version


def test_where_the_reference_is_the_policy_itself_nothing_is_known_yet(
    model: HFModel, tmp_path: Path
) -> None:
    """So the first loss is log 2; against other weights it is not."""
    batch = Pairs(items=(Pair(better=attempt(" 12"), worse=attempt(" 7")),))
    moved, _ = worked(model, tmp_path, Preference(steps=3, lr=1e-3), batch)
    first = {}
    for reference in Reference:
        fixed = moved.policy.weights if reference is Reference.FIXED else None
        learner = Preference(steps=1, lr=1e-3, reference=reference, fixed=fixed)
        updated, _ = worked(model, tmp_path, learner, batch, moved.policy)
        first[reference] = updated.report["losses"][0]
    assert first[Reference.PREVIOUS] == pytest.approx(math.log(2), abs=1e-6)
    assert first[Reference.FIXED] == first[Reference.PREVIOUS]
    assert first[Reference.BASE] < math.log(2) - 1e-3
    with pytest.raises(BadInput, match="reference"):
        Preference(steps=1, fixed=moved.policy.weights)


def test_a_shape_that_would_be_infinite_is_refused() -> None:
    with pytest.raises(BadInput, match="smoothing"):
        Preference(epochs=1, shape=Shape.EXO)
