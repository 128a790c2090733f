"""Reward models: losses, what they read, that they learn to rank, resume and judge; votes and calibration."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from helpers_models import make_model, workbench
from helpers_run import START, engine, task_set
from sharpen.actors.base import Cast, Stage
from sharpen.core.artifact import ArtifactStore, Kind, hash_file
from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.engine import Judging
from sharpen.core.errors import BadInput
from sharpen.core.policy import Policy
from sharpen.core.run import Run
from sharpen.core.task import Task
from sharpen.core.updater import Stopwatch, Updated
from sharpen.core.verdict import Error, Scored, Verdict, value_of
from sharpen.curation.rated import Rated, Ratings, rated, shuffled
from sharpen.curation.voting import agreeing, best_of, by_vote, elected, voted
from sharpen.judges.line_values import rate_lines
from sharpen.judges.reward import STEPS, RewardJudge
from sharpen.learners import descent
from sharpen.learners.reward_model import (
    Loss,
    Origin,
    RewardLearner,
    listwise_loss,
    pointwise_loss,
)
from sharpen.learners.reward_rows import line_count, line_starts, read_attempt
from sharpen.models.hf import HFModel
from sharpen.models.reward_head import fresh_head, scores_at
from sharpen.models.source import open_model
from sharpen.monitors.calibration import brier, calibration_error, pair_agreement, score_quality

POLICY = Policy(model="m", base="b")
SETTINGS = RewardLearner(epochs=6, tasks_per_step=4, lr=3e-3)
FILES = {"model.safetensors", "head.safetensors"}
GROUPS = st.lists(
    st.lists(st.tuples(st.floats(-9, 9), st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=5),
    min_size=1,
    max_size=4,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    return make_model(tmp_path_factory.mktemp("models"))


def attempt(task: str, index: int, text: str, *, model: HFModel | None = None) -> Attempt:
    prompt, said = f"Q: {task}\nA:", f" {text}"
    ids = (model.encode(prompt), (*model.encode_response(said), model.eos_id)) if model else ((), ())
    return Attempt(
        task=task,
        index=index,
        policy="p",
        turns=(
            Turn(author=Author.TEMPLATE, text=prompt, token_ids=ids[0]),
            Turn(author=Author.POLICY, text=said, token_ids=ids[1]),
        ),
        temperature=1.0,
    )


def group(model: HFModel, number: int) -> list[Rated]:
    """Four responses to a task, of which those that end in 7 are right."""
    texts = [f"{number}{i}\nso {7 if i % 2 else (number + i) % 6}" for i in range(4)]
    return [
        Rated(attempt=attempt(f"t{number}", i, text, model=model), values=(float(i % 2),))
        for i, text in enumerate(texts)
    ]


def ratings(model: HFModel, numbers: range) -> Ratings:
    return Ratings(items=tuple(item for number in numbers for item in group(model, number)))


def learnt(folder: Path, model: HFModel, settings: RewardLearner = SETTINGS, **knobs: object) -> Updated:
    return settings.update(workbench(folder, model, **knobs), POLICY, ratings(model, range(12)))  # type: ignore[arg-type]


def judged(
    folder: Path, model: HFModel, policy: Policy, some: Sequence[Attempt], **knobs: bool
) -> list[Verdict]:
    judging = Judging({"m": model}, ArtifactStore(folder / "store"), Stopwatch())
    return RewardJudge.of(policy, **knobs).judge_by(judging, [(Task.ask("q", "a"), one) for one in some])


def tensors(groups: list[list[tuple[float, float]]]) -> tuple[list[Tensor], list[Tensor]]:
    scores = [torch.tensor([s for s, _ in group], dtype=torch.double).requires_grad_() for group in groups]
    return scores, [torch.tensor([v for _, v in group], dtype=torch.double) for group in groups]


@settings(deadline=None, max_examples=40)
@given(GROUPS)
def test_listwise_is_bradley_terry_over_all_pairs_of_a_task(groups: list[list[tuple[float, float]]]) -> None:
    scores, values = tensors(groups)
    loss = listwise_loss(scores, values)
    means = []
    for some in groups:
        pairs = [(a, b) for a, va in some for b, vb in some if va > vb]
        if pairs:
            means.append(sum(math.log1p(math.exp(b - a)) for a, b in pairs) / len(pairs))
    assert loss.item() == pytest.approx(sum(means) / len(means) if means else 0.0)
    loss.backward()  # type: ignore[no-untyped-call]
    for score in scores:
        slope = 0.0 if score.grad is None else score.grad.sum().item()
        assert slope == pytest.approx(0.0, abs=1e-9), "a common offset must not matter"


@settings(deadline=None, max_examples=40)
@given(GROUPS)
def test_pointwise_is_cross_entropy_over_all_scores(groups: list[list[tuple[float, float]]]) -> None:
    scores, values = tensors(groups)
    loss = pointwise_loss(scores, values)
    flat = [pair for some in groups for pair in some]
    chances = [1 / (1 + math.exp(-s)) for s, _ in flat]
    wanted = [-v * math.log(p) - (1 - v) * math.log1p(-p) for (_, v), p in zip(flat, chances, strict=True)]
    assert loss.item() == pytest.approx(sum(wanted) / len(wanted))
    loss.backward()  # type: ignore[no-untyped-call]
    slopes = [(p - v) / len(flat) for (_, v), p in zip(flat, chances, strict=True)]
    assert torch.cat([s.grad for s in scores if s.grad is not None]).tolist() == pytest.approx(slopes)


def test_scores_do_not_depend_on_what_else_is_in_the_batch(model: HFModel) -> None:
    model.load(None)
    head = fresh_head(32, 1, model.module.device, likelihood=True)
    some = [attempt("t", i, "1\n2\n3"[: 1 + i], model=model) for i in range(5)]
    read = [reading for one in some if (reading := read_attempt(model, one, steps=True))]
    with torch.no_grad():
        together = torch.cat(scores_at(model.head, head, read))
        alone = torch.cat([scores_at(model.head, head, [one])[0] for one in read])
    torch.testing.assert_close(together, alone)


def test_likelihood_adds_the_log_probability_of_the_response(model: HFModel) -> None:
    model.load(None)
    plain, heavy = (fresh_head(32, 1, model.module.device, likelihood=on) for on in (False, True))
    one = attempt("t", 0, "1+1=2", model=model)
    read = read_attempt(model, one, steps=False)
    assert read is not None and heavy.weight is not None
    [logprobs] = model.logprobs([(one.turns[0].token_ids, one.turns[1].token_ids)])
    with torch.no_grad():
        difference = scores_at(model.head, heavy, [read])[0] - scores_at(model.head, plain, [read])[0]
    assert difference.item() == pytest.approx(heavy.weight.item() * sum(logprobs), rel=1e-4)


def test_lines_are_read_where_they_end(model: HFModel) -> None:
    one = attempt("t", 0, "1\n2", model=model)
    read = read_attempt(model, one, steps=True)
    assert read is not None
    assert [model.decode([read.ids[place]]) for place in read.places[:-1]] == ["\n"]
    assert read.ids[read.places[-1]] == model.eos_id
    assert line_count(one) == len(read.places) == 2
    assert line_starts(one) == (" 1\n",)


@pytest.mark.parametrize("likelihood", [False, True])
@pytest.mark.parametrize("loss", list(Loss))
def test_learns_to_rank_responses_to_new_tasks(
    model: HFModel, tmp_path: Path, loss: Loss, likelihood: bool
) -> None:
    settings = SETTINGS.model_copy(update={"loss": loss, "likelihood": likelihood})
    updated = learnt(tmp_path, model, settings)
    new = [item for number in range(20, 26) for item in group(model, number)]
    scores = [value_of(v) or 0.0 for v in judged(tmp_path, model, updated.policy, [x.attempt for x in new])]
    agreed = pair_agreement([x.attempt.task for x in new], [x.values[0] > 0.5 for x in new], scores)
    assert agreed is not None and agreed > 0.9
    assert updated.report["losses"][-1] < 0.75 * updated.report["losses"][0]
    part = updated.policy.parts["reward"]
    assert part.kind is Kind.REWARD_MODEL and set(part.files) == FILES
    assert updated.policy.weights is None, "the policy itself stays"


@pytest.mark.parametrize("family", ["llama-untied", "gemma3", "qwen2"])
@pytest.mark.parametrize("lora", [None, 4])
def test_any_decoder_and_adapters(tmp_path: Path, family: str, lora: int | None) -> None:
    other = make_model(tmp_path, family)
    other.lora_rank = lora
    base = weights_of(other)
    updated = learnt(tmp_path, other, SETTINGS.model_copy(update={"epochs": 1}))
    verdicts = judged(tmp_path, other, updated.policy, [item.attempt for item in group(other, 30)])
    assert all(isinstance(verdict, Scored) for verdict in verdicts)
    again = RewardLearner(epochs=1, start=Origin.PREVIOUS)
    assert (
        again.update(workbench(tmp_path, other), updated.policy, ratings(other, range(4))).report["steps"]
        == 1
    )
    other.load(None)
    assert torch.equal(weights_of(other), base), "the base comes back bit by bit"


def weights_of(model: HFModel) -> Tensor:
    return torch.cat([parameter.detach().flatten().clone() for parameter in model.module.parameters()])


def files_of(folder: Path, updated: Updated) -> dict[str, str]:
    store = ArtifactStore(folder / "store")
    files = updated.policy.parts["reward"].files
    return {name: hash_file(store.checked_path(sha)) for name, sha in files.items()}


def test_equal_inputs_give_equal_bytes_and_a_kill_changes_nothing(
    model: HFModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = files_of(tmp_path / "a", learnt(tmp_path / "a", model))
    assert files_of(tmp_path / "b", learnt(tmp_path / "b", model)) == whole
    monkeypatch.setattr(descent, "CHECKPOINT_EVERY", 1)

    def stop(done: float, total: float, note: str) -> None:
        if done == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learnt(tmp_path / "c", model, progress=stop)
    assert (tmp_path / "c" / "scratch" / "fit.safetensors").exists()
    model.load(None)
    assert files_of(tmp_path / "c", learnt(tmp_path / "c", model)) == whole


def test_starts_from_the_weights_it_is_told_to(model: HFModel, tmp_path: Path) -> None:
    first = learnt(tmp_path, model).policy
    policy = first.with_part(first.parts["reward"], "weights")
    made = {
        origin: SETTINGS.model_copy(update={"start": origin, "epochs": 1})
        .update(workbench(tmp_path, model), policy, ratings(model, range(4)))
        .report["losses"][0]
        for origin in Origin
    }
    assert len(set(made.values())) == 3
    assert made[Origin.PREVIOUS] < made[Origin.BASE]


def test_nothing_to_compare_changes_nothing(model: HFModel, tmp_path: Path) -> None:
    alike = Ratings(items=tuple(item.model_copy(update={"values": (1.0,)}) for item in group(model, 1)))
    assert SETTINGS.update(workbench(tmp_path, model), POLICY, alike).policy == POLICY


def test_values_must_fit_the_lines(model: HFModel, tmp_path: Path) -> None:
    [first, *_] = group(model, 1)
    wrong = Ratings(items=(first.model_copy(update={"values": (1.0, 0.0, 1.0)}),))
    with pytest.raises(BadInput, match="3 values for 2 lines"):
        RewardLearner(loss=Loss.POINTWISE).update(workbench(tmp_path, model), POLICY, wrong)


def test_line_scores_learn_from_the_worth_of_each_line(model: HFModel, tmp_path: Path) -> None:
    items = [
        Rated(attempt=attempt(f"t{n}", i, f"{'ab'[i]}{n}\nend", model=model), values=(float(i), 0.5))
        for n in range(12)
        for i in range(2)
    ]
    settings = RewardLearner(loss=Loss.POINTWISE, epochs=6, tasks_per_step=4, lr=3e-3)
    policy = settings.update(workbench(tmp_path, model), POLICY, Ratings(items=tuple(items))).policy
    bad, good = judged(tmp_path, model, policy, [item.attempt for item in items[:2]], steps=True)
    assert isinstance(bad, Scored) and isinstance(good, Scored)
    (low, _), (high, end) = bad.evidence[STEPS], good.evidence[STEPS]  # type: ignore[misc]
    assert low < 0 < high and good.value == min(high, end)


def test_an_attempt_without_response_is_an_error_not_a_zero(model: HFModel, tmp_path: Path) -> None:
    policy = learnt(tmp_path, model, SETTINGS.model_copy(update={"epochs": 1})).policy
    empty = attempt("t", 0, "x").model_copy(update={"turns": ()})
    good, bad = judged(tmp_path, model, policy, [attempt("t", 0, "x", model=model), empty])
    assert isinstance(good, Scored) and isinstance(bad, Error)


def test_lines_are_worth_what_their_continuations_are(tmp_path: Path) -> None:
    tiny = open_model("tiny", threads=1)
    assert isinstance(tiny, HFModel)
    made = engine(tmp_path)
    acting = Cast(Stage({"m": tiny}, made.store, Stopwatch()))
    run = Run(replace(made, actor=acting, models={"m": tiny}, verifier=Numbers()))
    task = Task.ask("17+25-9=?", "33")
    policy = Policy(model="m", base=tiny.fingerprint)
    ways = ["17+25=42\n42-9=33\n#### 33", "17+25=99\n99-9=90\n#### 90"]
    tries = [attempt("t", i, text) for i, text in enumerate(ways)]
    prompt = policy.prompt.text(task)
    tries = [
        one.model_copy(
            update={
                "task": task.key,
                "turns": (one.turns[0].model_copy(update={"text": prompt}), one.turns[1]),
            }
        )
        for one in tries
    ]
    verdicts = run.judge(tries, [task])
    good, bad = rate_lines(run, policy, tries, [task], verdicts, samples=3).items
    assert good.values[-1] == 1.0 and bad.values[-1] == 0.0
    assert len(good.values) == len(bad.values) == 3
    assert good.values[0] > 0.5 and bad.values[:2] == (0.0, 0.0)
    RewardLearner(loss=Loss.POINTWISE, epochs=1).update(
        workbench(tmp_path / "learn", tiny), policy, Ratings(items=(good, bad))
    )


class Numbers:
    """Right is what ends in the answer."""

    fingerprint = "numbers"

    def judge(self, pairs: Sequence[tuple[Task, Attempt]], read: Callable[[str], bytes]) -> list[Verdict]:
        return [Scored(value=float(a.response.endswith(f"#### {task.answer}"))) for task, a in pairs]


class Length:
    """A judge that is a model, as far as a run can tell."""

    fingerprint = "length"

    def judge_by(self, judging: Judging, pairs: Sequence[tuple[Task, Attempt]]) -> list[Verdict]:
        assert judging.models == {}
        return [Scored(value=float(len(attempt.response))) for _, attempt in pairs]


def test_a_run_journals_judges_that_are_models(tmp_path: Path) -> None:
    for _ in range(2):
        opened = engine(tmp_path)
        run, tasks = Run(opened), task_set()
        attempts = run.attempt(START, tasks.train)
        verdicts = run.judge(attempts, tasks.train, verifier=Length())
        assert [value_of(v) for v in verdicts] == [len(a.response) for a in attempts]
        with pytest.raises(BadInput, match="finds no answers"):
            run.answers(attempts)
        opened.journal.close()


def test_votes() -> None:
    some = [attempt("t", i, text) for i, text in enumerate("abbc")] + [attempt("u", 0, "d")]
    answers = ["a", "b", "b", None, "d"]
    assert elected(answers[:4]) == "b"
    assert elected(answers[:4], [3, 1, 1, 9]) == "a"
    assert elected([None, None]) is None
    assert agreeing(some, answers) == (False, True, True, False, True)
    assert [v.value for v in by_vote(some, answers, [3, 1, 1, 9, 1]) if isinstance(v, Scored)] == [
        1,
        0,
        0,
        0,
        1,
    ]
    assert [a.index for a in voted(some, answers)] == [1, 0]
    assert [a.index for a in best_of(some, [0.0, None, 2.0, 2.0, None])] == [2, 0]


def test_rated_drops_repeats_and_what_is_unknown() -> None:
    some = [attempt("t", 0, "a"), attempt("t", 1, "a"), attempt("u", 0, "a"), attempt("u", 1, "b")]
    verdicts = [Scored(value=1.0), Scored(value=1.0), Error(kind="lost"), Scored(value=0.0)]
    assert [(x.attempt.task, x.values) for x in rated(some, verdicts).items] == [("t", (1.0,)), ("u", (0.0,))]
    dealt = shuffled([Scored(value=float(i)) for i in range(9)], 1)
    assert sorted(value_of(v) or 0.0 for v in dealt) == list(range(9)) != [value_of(v) for v in dealt]


def test_calibration() -> None:
    right = [True, False, True, True]
    assert brier(right, [1, 0, 1, 1]) == 0 == calibration_error(right, [1, 0, 1, 1])
    assert calibration_error(right, [0.5] * 4) == pytest.approx(0.25)
    assert brier(right, [0.5] * 4) == pytest.approx(0.25)
    assert pair_agreement(["t", "t", "u", "u"], right, [2, 1, 0, 0]) == 1.0
    assert pair_agreement(["t"], [True], [1.0]) is None
    found = score_quality(["t", "t"], [True, False], [1.0, -1.0])
    assert found["auc"] == found["pairs"] == 1.0
    assert score_quality([], [], []) == {}
