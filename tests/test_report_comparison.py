"""The report of a comparison."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sharpen.core.budget import Budget, Usage
from sharpen.core.errors import Damaged
from sharpen.core.stats import Interval
from sharpen.experiment.comparison import ArmResult, ArmRun, Comparison, Pair, Point, Role, Standing
from sharpen.report.comparison_page import comparison_page
from sharpen.report.write import write_report


def interval(mean: float) -> Interval:
    return Interval(mean=mean, low=mean - 0.08, high=mean + 0.08, n=200)


def arm(name: str, mean: float, rank: int, role: Role = Role.METHOD) -> ArmResult:
    method = role is Role.METHOD
    used = Usage(sampled_tokens=90_000, trained_tokens=20_000 * method, model_calls=300, judge_calls=300)
    curve = tuple(
        Point(
            round=n,
            usage=Usage(sampled_tokens=30_000 * n, trained_tokens=6_000 * n),
            seconds=4.0 * n,
            val=interval(0.3 + (mean - 0.3) * n / 3),
            seeds=2,
        )
        for n in range(4)
    )
    return ArmResult(
        name=name,
        role=role,
        recipe=name if method else "",
        score=interval(mean),
        minus_control=interval(mean - 0.4) if method else None,
        p_value=0.01 if method else None,
        standing=Standing.UNCLEAR if method else None,
        rank=rank,
        usage=used,
        seconds=12.0,
        test_tokens=2_000,
        share={"sampled_tokens": 0.9} if method else {},
        curve=curve if method else (),
        runs=tuple(
            ArmRun(
                seed=seed,
                folder=f"runs/{name}-s{seed}",
                score=mean,
                usage=used,
                seconds=12.0,
                model_time_share=0.8,
                test_tokens=2_000,
                stopped_by="sampled_tokens",
            )
            for seed in (0, 1)
        ),
    )


@pytest.fixture
def league() -> Comparison:
    arms = (
        arm("star", 0.55, 1),
        arm("<b>rft</b>", 0.5, 1),
        arm("nothing", 0.31, 3, Role.NO_UPDATE),
        arm("votes", 0.4, 2, Role.MORE_SAMPLES),
    )
    return Comparison(
        task="chain?level=4",
        model="tiny",
        verifier="numeric",
        sizes=(64, 50, 100),
        test_temperature=0.0,
        budget=Budget(sampled_tokens=100_000),
        seeds=(0, 1),
        best_control="votes",
        arms=arms,
        pairs=(Pair(one="star", other="votes", delta=interval(0.15), p_value=0.02, clear=True),),
        conclusion="star is above both controls; <script>alert(1)</script>",
        notes=("two seeds say little of their spread",),
        hardware={"cpu": "some"},
        versions={"python": "3.11"},
        command="sharpen compare",
        commit="0" * 40,
    )


def test_shows_every_arm_and_every_axis(league: Comparison, tmp_path: Path) -> None:
    (tmp_path / "comparison.json").write_text(league.model_dump_json())
    html = write_report(tmp_path).file.read_text()
    for name in ("star", "&lt;b&gt;rft&lt;/b&gt;", "control: votes", "control: nothing"):
        assert name in html
    assert "alert(1)</script>" not in html
    page = comparison_page(league, "league")
    charts = {chart.name for section in page.sections for chart in section.charts}
    drawn = {"arm-scores", "against-control", "score-by-sampled", "score-by-trained", "score-by-seconds"}
    assert charts == {*drawn, "limits"}
    standings = page.sections[0].tables[0].table
    assert [row[0] for row in standings.rows] == sorted(arm.rank for arm in league.arms)


def test_what_a_comparison_lacks_is_left_out(league: Comparison) -> None:
    bare = [arm.model_copy(update={"curve": (), "share": {}, "minus_control": None}) for arm in league.arms]
    page = comparison_page(league.model_copy(update={"arms": tuple(bare)}), "league")
    assert [section.name for section in page.sections] == ["scores", "runs", "settings"]
    assert [chart.name for chart in page.sections[0].charts] == ["arm-scores"]


def test_a_comparison_that_cannot_be_read_is_said_to_be(league: Comparison, tmp_path: Path) -> None:
    broken = json.loads(league.model_dump_json())
    del broken["arms"]
    (tmp_path / "comparison.json").write_text(json.dumps(broken))
    with pytest.raises(Damaged, match="comparison"):
        write_report(tmp_path)
