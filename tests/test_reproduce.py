"""A claim is tested by arms over seeds; the verdict follows from the intervals, and nothing is run twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers_run import contents
from sharpen.core.engine import Listener
from sharpen.core.errors import BadInput
from sharpen.core.stats import Interval, crossed_interval
from sharpen.experiment.check_recipe import StopAfter, small_spec
from sharpen.experiment.execute import execute
from sharpen.experiment.reproduce import Finding, Reproduction, difference, reproduce, verdict

RECIPE = '''"""Nothing."""
from sharpen.core.policy import Policy
from sharpen.core.recipe import Setting, recipe
from sharpen.core.records import Record
from sharpen.core.run import Run
from sharpen.core.task import Channel, TaskSet


class Config(Record):
    knob: int = 0


@recipe(
    paper="none",
    improves="nothing",
    sees=Channel.LABEL,
    home=Setting(
        request={"task": "chain?level=1", "model": "scripted:echo", "train": 4, "val": 4, "test": 6},
    ),
    ablation={"knob": 1},
    claim="Nothing improves.",
    arms={"other": {"knob": 2}},
)
def nothing(run: Run, tasks: TaskSet, policy: Policy, config: Config) -> Policy:
    for it in run.iterations(1):
        it.judge(it.attempt(policy, tasks.train), tasks.train)
        it.measure(knob=config.knob)
    return policy
'''


def interval(low: float, high: float) -> Interval:
    return Interval(mean=(low + high) / 2, low=low, high=high, n=9)


def test_runs_every_arm_once_and_keeps_what_people_wrote(tmp_path: Path) -> None:
    file = tmp_path / "nothing.py"
    file.write_text(RECIPE)
    titles: list[str] = []
    new: list[int] = []

    @contextmanager
    def listening(title: str) -> Iterator[Listener]:
        listener = Counting()
        titles.append(title)
        yield listener
        new.append(listener.new)

    def go(seeds: range, arms: tuple[str, ...] = (), quick: bool = False) -> Reproduction:
        return reproduce(
            str(file),
            seeds=seeds,
            runs=tmp_path / "runs",
            out=tmp_path / ("quick" if quick else "out"),
            listening=listening,
            arms=arms,
            quick=quick,
        )

    first = go(range(1))
    path = tmp_path / "out" / "nothing.json"
    assert Reproduction.model_validate_json(path.read_bytes()) == first
    assert set(first.arms) == {"before", "method", "other", "ablation", "more samples"}
    assert first.verdict is Finding.NULL and first.against == "other" and first.effect.mean == 0
    assert first.rows[0].measures == {"knob": 0.0} and first.arms["other"].settings == {"knob": 2}
    path.write_text(first.model_copy(update={"tried": ("a lower rate",)}).model_dump_json())
    second = go(range(2))
    assert second.tried == ("a lower rate",) and second.seeds == (0, 1) and len(titles) == 9
    assert new[3:6] == [0, 0, 0] and all(new[6:])
    assert second.command == "sharpen reproduce nothing --seeds 2"
    third = go(range(3, 4), ("other",), quick=True)
    assert third.command == "sharpen reproduce nothing --seeds 1 --first-seed 3 --quick"
    with pytest.raises(BadInput, match="no such arm"):
        go(range(1), ("another",))


class Counting(StopAfter):
    """Counts rows that were not read from the journal."""

    def __init__(self) -> None:
        super().__init__(None)
        self.new = 0

    def finished(self, entry, wall, result, *, replayed) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
        self.new += not replayed


def test_a_recipe_without_a_home_cannot_be_reproduced(tmp_path: Path) -> None:
    file = tmp_path / "homeless.py"
    file.write_text(RECIPE.replace('ablation={"knob": 1},', "").replace("def nothing", "def homeless"))
    with pytest.raises(BadInput, match="no home or no ablation"):
        reproduce(str(file), seeds=[0], runs=tmp_path, out=tmp_path, listening=lambda _: None)  # type: ignore


@pytest.mark.parametrize(
    ("effect", "ablation", "found"),
    [
        ((0.1, 0.2), (-0.1, 0.1), Finding.REPRODUCED),
        ((0.1, 0.2), (0.1, 0.2), Finding.NULL),
        ((-0.1, 0.2), (-0.1, 0.1), Finding.NULL),
        ((-0.2, -0.1), (-0.1, 0.1), Finding.CONTRADICTED),
    ],
)
def test_verdict(effect: tuple[float, float], ablation: tuple[float, float], found: Finding) -> None:
    assert verdict(interval(*effect), interval(*ablation)) is found


def test_unknown_scores_leave_their_task_out() -> None:
    found = difference([[1.0, None, 1.0], [1.0, 1.0, 1.0]], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert found.mean == 1.0 and found.n == 4


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.floats(-1, 1), min_size=3, max_size=3), min_size=1, max_size=4))
def test_crossed_interval_holds_its_mean(rows: list[list[float]]) -> None:
    found = crossed_interval(rows)
    assert found.low is not None and found.high is not None and found.mean is not None
    assert found.low - 1e-9 <= found.mean <= found.high + 1e-9
    assert found == crossed_interval(rows)


def test_crossed_interval_is_wide_where_seeds_disagree() -> None:
    agree = crossed_interval([[0.5, 0.5, 0.5, 0.5]] * 4)
    differ = crossed_interval([[1.0] * 4, [0.0] * 4, [1.0] * 4, [0.0] * 4])
    assert agree.low == agree.high and differ.low is not None and differ.low < 0.2


def test_shared_work_changes_nothing_but_time(tmp_path: Path) -> None:
    """A run with other settings that takes over what it can ends in the bytes of one that does not."""
    small = small_spec("star")
    spec = small.model_copy(update={"settings": {**small.settings, "iterations": 1}})
    other = spec.model_copy(update={"settings": {**spec.settings, "per_task": 1}})
    folders = [tmp_path / name for name in ("first", "alone", "sharing", "elsewhere")]
    execute(spec, folders[0], StopAfter(None))
    alone = execute(other, folders[1], StopAfter(None))
    sharing = execute(other, folders[2], StopAfter(None), past=folders[0])
    assert contents(folders[1]) == contents(folders[2])
    assert alone.budget.used == sharing.budget.used
    spent = [sum(time.model_seconds for time in run.budget.timing.values()) for run in (alone, sharing)]
    assert spent[1] < spent[0]
    elsewhere = other.model_copy(update={"seed": 5})
    assert execute(elsewhere, folders[3], StopAfter(None), past=folders[0]).journal_head != alone.journal_head
