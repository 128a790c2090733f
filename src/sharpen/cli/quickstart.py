"""What the quickstart runs, per model: sized for two cores."""

from __future__ import annotations

from sharpen.experiment.spec import RunSpec

_TINY_TASK = "chain?level=4"
_SMOLLM2_TASK = "chain?level=1"


def plan(model: str, seed: int) -> dict[str, RunSpec]:
    """The quickstart's runs by name; empty if there is none for the model."""
    match model:
        case "tiny":
            return {name: _tiny(name, seed) for name in ("star", "b_star")}
        case "smollm2":
            return {f"{name}-smollm2": _smollm2(name, seed) for name in ("star", "b_star")}
        case _:
            return {}


def _tiny(recipe: str, seed: int) -> RunSpec:
    return RunSpec(recipe=recipe, model="tiny", task=_TINY_TASK, seed=seed)


def _smollm2(recipe: str, seed: int) -> RunSpec:
    return RunSpec(recipe=recipe, model="smollm2", task=_SMOLLM2_TASK, seed=seed, train=64, val=40, test=80)
