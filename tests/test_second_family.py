"""The main job on models of other architectures, in ordinary folders; no recipe knows of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers_models import make_model_folder
from helpers_run import contents
from sharpen.experiment.check_recipe import StopAfter
from sharpen.experiment.evaluate import evaluate
from sharpen.experiment.execute import execute
from sharpen.experiment.export import export
from sharpen.experiment.spec import Request, RunSpec

HABIT = """
def habit(response, task):
    return response.strip()[:1] in set(task.answer)
"""
"""Right is what begins with one of some letters: a random model does so now and then, and can learn it."""
QUESTIONS = "question,answer\n" + "".join(f"say {n},abcdefghijklmPQRSTUVWXYZ2468\n" for n in range(40))
SETTINGS = {
    "star": {"iterations": 1, "samples": 4},
    "grpo": {"iterations": 1, "prompts": 4, "group": 4, "mini_batch": 16},
}


@pytest.mark.parametrize("family", ["qwen3", "gemma3"])
@pytest.mark.parametrize("recipe", ["star", "grpo"])
def test_the_main_job(recipe: str, family: str, tmp_path: Path) -> None:
    (tmp_path / "habit.py").write_text(HABIT)
    (tmp_path / "tasks.csv").write_text(QUESTIONS)
    spec = RunSpec(
        recipe=recipe,
        model=str(make_model_folder(tmp_path, family)),
        task=str(tmp_path / "tasks.csv"),
        verifier=f"{tmp_path}/habit.py:habit",
        settings=SETTINGS[recipe],
        shots=0,
        train=8,
        val=2,
        test=4,
        max_tokens=6,
        control_samples=2,
        threads=1,
    )
    result = execute(spec, tmp_path / "run", StopAfter(None))
    assert result.coverage == 1 and result.weights, "it learned something"
    assert result.budget.used["method"].trained_tokens > 0  # type: ignore[index]
    assert export(tmp_path / "run", tmp_path / "out", merged=True).model
    again = Request(**{**spec.model_dump(include=set(Request.model_fields)), "model": str(tmp_path / "out")})
    score = evaluate(again, samples=1)
    assert score.coverage == 1 and score.prompt_style == "plain"
    if recipe == "star" and family == "qwen3":
        execute(spec, tmp_path / "twice", StopAfter(None))
        assert contents(tmp_path / "twice") == contents(tmp_path / "run")
