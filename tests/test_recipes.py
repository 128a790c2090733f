"""Every recipe in the folder: it runs, the same after a kill, is declared well, and learns.

A new recipe file is tested without touching this one.
"""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path

import pytest
from pydantic import JsonValue

from helpers_run import contents
from kill_driver import drive
from sharpen.core.recipe import Rival, load_recipe, recipe_names
from sharpen.experiment import predict
from sharpen.experiment.assemble import actors_of
from sharpen.experiment.check_recipe import StopAfter, small_spec
from sharpen.experiment.execute import execute
from sharpen.experiment.result import Result
from sharpen.experiment.spec import RunSpec
from sharpen.report.write import write_report

RECIPES = sorted(recipe_names())


def learn(recipe: str, folder: Path, past: Path | None = None, **settings: JsonValue) -> Result:
    """The recipe's demonstration, with other settings on top; `past` is a run whose work it may share."""
    place = load_recipe(recipe).demo.at(**settings)
    spec = RunSpec.at(recipe, place, {"seed": 1, "control_samples": 1, "threads": 1})
    return execute(spec, folder, StopAfter(None), past=past)


@pytest.mark.parametrize("name", RECIPES)
def test_runs_and_survives_a_kill(name: str, tmp_path: Path) -> None:
    """A run that is killed in the middle of a write, and started again, against one that is left alone."""
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    whole = execute(small_spec(name), calm, StopAfter(None))
    assert whole.coverage == 1
    assert drive(name, killed, "torn:9")
    execute(small_spec(name), killed, StopAfter(None))
    assert contents(killed) == contents(calm)
    written = write_report(calm)
    assert "plot-test-scores" in written.file.read_text() and written.bytes < 1_500_000


@pytest.mark.parametrize("name", RECIPES)
def test_learns_and_its_ablation_does_not(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    full = learn(name, tmp_path / "full")
    ablated = learn(name, tmp_path / "ablated", tmp_path / "full", **recipe.ablation)
    assert full.test.delta.above_zero, full.conclusion
    assert not ablated.test.delta.above_zero, ablated.conclusion
    again, before = full.controls.no_update, full.test.before
    if full.spec.test_temperature == 0:
        assert again.mean == before.mean
    else:  # drawn anew
        assert before.low <= again.high and again.low <= before.high


@pytest.mark.parametrize("name", RECIPES)
def test_a_dry_run_comes_to_its_end(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "_measure", lambda setup, folder: (5.0, 100.0))
    spec = small_spec(name)
    forecast = predict.predict(spec)
    assert forecast.spec == spec
    work = forecast.usage.sampled_tokens + 3 * forecast.usage.trained_tokens
    assert forecast.seconds == (0 if spec.model == "none" else work / 100)


@pytest.mark.parametrize("name", RECIPES)
def test_is_declared_in_full(name: str) -> None:
    recipe = load_recipe(name)
    doc = ast.get_docstring(ast.parse(recipe.source.read_text())) or ""
    for word in ("Paper:", "Changed", "Expected:", "Ablation"):
        assert word.lower() in doc.lower(), f"the header lacks {word!r}"
    for field, info in recipe.config.model_fields.items():
        assert info.description, f"{name}.{field} has no documentation"
    assert recipe.claim
    assert actors_of(recipe) and all(find_spec(f"sharpen.actors.{actor}") for actor in actors_of(recipe))
    for settings in ({}, recipe.home.config, recipe.small.config, recipe.demo.config, recipe.ablation):
        recipe.configure(settings)
    for arm in recipe.arms.values():
        if not isinstance(arm, Rival):
            recipe.configure(arm)
        elif arm.recipe in RECIPES:
            load_recipe(arm.recipe).configure(arm.config)
