"""What the quickstart runs, per model: sized for two cores."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from sharpen.core.recipe import load_recipe
from sharpen.experiment.spec import RunSpec

_SMOLLM2: Mapping[str, Mapping[str, JsonValue]] = {
    "star": {"iterations": 2, "samples": 4, "temperature": 0.6, "epochs": 2},
    "b_star": {
        "iterations": 2,
        "samples": 4,
        "n_star": 2,
        "steps": 5,
        "probe_tasks": 8,
        "temperatures": [0.4, 0.7],
    },
}


def plan(model: str, seed: int) -> dict[str, RunSpec]:
    """The quickstart's runs by name; empty if there is none for the model."""
    match model:
        case "tiny":
            return {name: tiny(name, seed) for name in ("star", "b_star")}
        case "smollm2":
            return {f"{name}-smollm2": _smollm2(name, settings, seed) for name, settings in _SMOLLM2.items()}
        case _:
            return {}


def tiny(recipe: str, seed: int) -> RunSpec:
    """A recipe in its own place, on the tiny model."""
    return RunSpec.at(recipe, load_recipe(recipe).home, {"seed": seed})


def _smollm2(recipe: str, settings: Mapping[str, JsonValue], seed: int) -> RunSpec:
    return RunSpec(
        recipe=recipe,
        model="smollm2",
        task="chain?level=1",
        settings=settings,
        seed=seed,
        train=64,
        val=24,
        test=64,
        control_samples=12,
    )
