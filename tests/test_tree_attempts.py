"""Trees of a real model's steps and revisions: exact tokens, the same trees in any batch, pairs, printing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers_run import KillAfter, Killed, contents, engine
from sharpen.actors.base import Cast, Stage
from sharpen.cli import main
from sharpen.core.attempt import Attempt, Author, Stop, Turn
from sharpen.core.budget import Purpose
from sharpen.core.policy import Policy
from sharpen.core.run import Run
from sharpen.core.task import Task
from sharpen.core.updater import Stopwatch
from sharpen.core.verdict import Scored
from sharpen.curation.pairs import distinct, siblings
from sharpen.curation.rated import rated
from sharpen.curation.refinements import from_tree
from sharpen.judges.reward import scores_of
from sharpen.judges.reward_watch import Choice as Pick
from sharpen.judges.reward_watch import Choosing, best_of_n
from sharpen.learners.batch import example_from
from sharpen.learners.preference import Preference
from sharpen.learners.reward_model import RewardLearner
from sharpen.models.hf import HFModel
from sharpen.models.source import open_model
from sharpen.monitors.calibration import sigmoid
from sharpen.report.trees import shown_text, tree_lines
from sharpen.search.growth import Backup
from sharpen.search.lockstep import Beam, Mcts, Plan
from sharpen.search.revisions import Revising, search_revisions
from sharpen.search.steps import Steps, closed, search_steps, steps_of
from sharpen.search.trees import Tree, Trees
from sharpen.search.values import Values
from sharpen.tasks.source import load_tasks

TASKS = load_tasks("chain?level=4", train=4, val=1, test=1, seed=1).train
STEPS = Steps(temperature=1.5, depth=6, step_tokens=12, last_tokens=20, values=Values(likelihood=0.2))


@pytest.fixture(scope="module")
def tiny() -> HFModel:
    model = open_model("tiny", threads=1)
    assert isinstance(model, HFModel)
    return model


def run(folder: Path, model: HFModel, listener: KillAfter | None = None) -> Run:
    made = engine(folder, listener)
    stage = Stage({"tiny": model}, made.store, Stopwatch())
    return Run(replace(made, actor=Cast(stage), models={"tiny": model}, chunk_rows=64))


def policy(model: HFModel) -> Policy:
    return Policy(model="tiny", base=model.fingerprint)


def shape(tree: Tree) -> list[object]:
    """What must not depend on the batch; probabilities may, in their last digits."""
    return [(n.parent, n.turns[-1:] and n.turns[-1].token_ids, n.visits, n.ended) for n in tree.nodes]


def test_the_trees_are_the_same_in_any_batch(tiny: HFModel, tmp_path: Path) -> None:
    found = []
    for order, batch in ((TASKS, 64), (TASKS[::-1], 1)):
        loop = run(tmp_path / str(len(found)), tiny)
        trees = loop.search(search_steps, policy(tiny), order, STEPS, Mcts(simulations=5), batch=batch)
        found.append({tree.task: shape(tree) for tree in trees.items})
    assert found[0] == found[1]
    assert sum(map(len, found[0].values())) > 25


@pytest.fixture(scope="module")
def grown(tiny: HFModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Trees, Path, int]:
    folder = tmp_path_factory.mktemp("search")
    loop = run(folder, tiny)
    how = Mcts(simulations=5, tokens=250, plan=Plan.STEPWISE, backup=Backup.STEPWISE)
    trees = loop.search(search_steps, policy(tiny), TASKS, STEPS, how)
    return trees, folder, loop.used(Purpose.METHOD).sampled_tokens


def test_nodes_are_attempts_of_exact_tokens(tiny: HFModel, grown: tuple[Trees, Path, int]) -> None:
    for tree in grown[0].items:
        for number in range(1, len(tree.nodes)):
            attempt = tree.attempt(number)
            example = example_from(attempt, tiny)
            assert example.trained_tokens == attempt.token_count > 0
            drawn = tiny.decode(example.response_ids)
            assert drawn.strip().startswith(attempt.response)
            assert attempt.branch is not None
    steps = [node.text for tree in grown[0].items for node in tree.nodes]
    assert any(text.endswith("\n") and "=" in text for text in steps)


def test_the_meter_counts_what_the_trees_hold(grown: tuple[Trees, Path, int]) -> None:
    """Steps that were drawn twice were paid for, too."""
    trees, _, sampled = grown
    held = [
        sum(len(turn.token_ids) for turn in n.turns if turn.logprobs) for t in trees.items for n in t.nodes
    ]
    assert sum(held) <= sampled <= 250 * len(trees.items)


def test_a_killed_search_goes_on_and_ends_in_the_same_bytes(tiny: HFModel, tmp_path: Path) -> None:
    def searched(folder: Path, listener: KillAfter | None = None) -> None:
        run(folder, tiny, listener).search(search_steps, policy(tiny), TASKS[:2], STEPS, Mcts(simulations=4))

    searched(tmp_path / "whole")
    with pytest.raises(Killed):
        searched(tmp_path / "killed", KillAfter(4))
    searched(tmp_path / "killed")
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_siblings_are_learnt_from_where_they_diverge(
    tiny: HFModel, grown: tuple[Trees, Path, int], tmp_path: Path
) -> None:
    pairs = distinct(siblings(grown[0].items))
    assert len(pairs) >= 2
    for pair in pairs.items:
        assert pair.better.turns[:-1] == pair.worse.turns[:-1]
        assert 0.5 <= pair.label <= 1
        assert pair.margin > 0
    loop = run(tmp_path, tiny)
    after = loop.update(Preference(epochs=1, lr=1e-5), policy(tiny), pairs)
    assert after.version != policy(tiny).version


def test_whole_responses_are_drawn_at_depth_1(tiny: HFModel, tmp_path: Path) -> None:
    """Best of n, on the same interface."""
    steps = Steps(depth=1, first=6, temperature=1.5, last_tokens=60, values=Values(likelihood=1.0))
    trees = run(tmp_path, tiny).search(search_steps, policy(tiny), TASKS[:2], steps, Beam(keep=1, depth=1))
    for tree in trees.items:
        values = [node.value for node in tree.nodes[1:]]
        assert tree.nodes[tree.walk[-1]].value == max(values)
        assert all("####" in tree.attempt(n).response for n in range(1, len(tree.nodes)))


def test_revisions_see_the_answer_they_revise(tiny: HFModel, tmp_path: Path) -> None:
    revising = Revising(depth=3, tokens=40, temperature=1.5, values=Values(likelihood=1.0))
    trees = run(tmp_path, tiny).search(
        search_revisions, policy(tiny), TASKS[:2], revising, Mcts(simulations=4, depth=3)
    )
    revisions = [one for tree in trees.items for one in from_tree(tree).items]
    assert revisions
    for one in revisions:
        assert one.before.response in one.after.turns[0].text
        assert one.before.response not in one.before.turns[0].text or one.turn > 1


def test_a_run_shows_its_trees(grown: tuple[Trees, Path, int], capsys: pytest.CaptureFixture[str]) -> None:
    trees, folder, _ = grown
    with pytest.raises(SystemExit) as done:
        main(["show", str(folder), "--tree", TASKS[1].key[:8]])
    assert done.value.code == 0
    shown = capsys.readouterr().out
    assert TASKS[1].key in shown
    assert TASKS[0].key not in shown
    assert shown.count("\n") == len(trees.items[1].nodes) + 1
    with pytest.raises(SystemExit):
        main(["show", str(folder), "--tree", "nothing"])
    assert "no tree" in capsys.readouterr().err


def test_hostile_text_stays_text() -> None:
    assert shown_text("a\x1b[31m\n[bold]\u202e\\") == "a\\x1b[31m\\n[bold]\\u202e\\\\"
    assert len(shown_text("x" * 10_000)) < 200


def test_every_node_has_its_line(grown: tuple[Trees, Path, int]) -> None:
    for tree in grown[0].items:
        lines = list(tree_lines(tree))
        assert len(lines) == len(tree.nodes)
        assert sum(line.startswith("*") for line in lines) == len(tree.walk)


def step(text: str, stop: Stop, before: str = "") -> Attempt:
    turns = [Turn(author=Author.POLICY, text=part) for part in (before, text) if part or part is text]
    return Attempt(task="t", index=0, policy="p", turns=tuple(turns), stop=stop)


@pytest.mark.parametrize(
    ("attempt", "response", "over"),
    [
        (step("1+1=2", Stop.STOP_TEXT), "1+1=2\n", False),
        (step("1+1", Stop.LENGTH), "1+1", False),
        (step("#### 2", Stop.END), "#### 2", True),
        (step("", Stop.STOP_TEXT, "1+1=2\n"), "1+1=2", True),
        (step("Q: 3", Stop.STOP_TEXT, "1+1=2\n"), "1+1=2\n", True),
    ],
)
def test_a_step_keeps_its_stop_text_and_a_response_ends_where_its_form_does(
    attempt: Attempt, response: str, over: bool
) -> None:
    found = closed(attempt, "\n", ("\n\n", "\nQ:"))
    assert "".join(turn.text for turn in found.turns).startswith(response.rstrip("\n"))
    assert (found.stop is Stop.END) is over
    assert "Q:" not in found.response


@given(st.text("ab \n", max_size=20), st.integers(1, 4))
def test_a_text_is_the_sum_of_its_steps(text: str, least: int) -> None:
    steps = steps_of(text, least=least)
    assert "".join(steps) == text
    assert all(len(step.strip()) >= least for step in steps[:-1])


def test_steps_of_a_solution() -> None:
    assert steps_of("1+1=2\n\n2+1=3\n#### 3") == ("1+1=2\n", "\n2+1=3\n", "#### 3")


def test_the_policys_own_word_counts(tiny: HFModel, tmp_path: Path) -> None:
    own = Values(verdict=0.0, self_evaluation=1.0, question="\n", yes="4", no="#")
    steps = STEPS.model_copy(update={"values": own})
    (tree,) = (
        run(tmp_path, tiny)
        .search(search_steps, policy(tiny), (Task.ask("2+2=?", "4"),), steps, Mcts(simulations=3))
        .items
    )
    assert all(0 <= node.value <= 1 for node in tree.nodes)
    assert len({node.value for node in tree.nodes}) > 1


def test_a_reward_model_guides_a_beam(tmp_path: Path, tiny: HFModel) -> None:
    it, start = run(tmp_path, tiny), policy(tiny)
    attempts = it.attempt(start, TASKS, samples=4)
    ratings = rated(attempts, [Scored(value=float(a.index % 2)) for a in attempts])
    scorer = it.update(RewardLearner(epochs=1), start, ratings)
    steps = STEPS.model_copy(update={"values": Values(verdict=0.0, reward=1.0)})
    for tree in it.search(search_steps, scorer, TASKS, steps, Beam(keep=2, depth=6)).items:
        nodes = range(1, len(tree.nodes))
        scores = scores_of(it, [tree.attempt(n) for n in nodes], TASKS, scorer)
        assert [tree.nodes[n].value for n in nodes] == [
            pytest.approx(sigmoid(score), abs=1e-4) for score in scores if score is not None
        ]
        assert tree.nodes[tree.best].value == max(tree.nodes[n].value for n in nodes if tree.nodes[n].ended)
    found = best_of_n(it, scorer, TASKS, Choosing(choice=Pick.BEAM, n=4))
    assert [attempt.task for attempt in found] == [task.key for task in TASKS]
    assert all(attempt.stop is not Stop.LENGTH for attempt in found)
