"""Which recipes may enter a comparison, and for how many rounds: settled before any work is done."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from sharpen.core.budget import Budget
from sharpen.core.errors import BadInput, SharpenError
from sharpen.core.recipe import load_recipe
from sharpen.experiment.plan import ROUNDS, ArmPlan, Plan
from sharpen.experiment.predict import Forecast, predict

_SPARE = 1.25
"""More rounds than forecast: it is better that the budget ends an arm than that the arm ends early."""


def admitted(plan: Plan, names: Sequence[str]) -> Plan:
    """The plan with the rounds of these arms; BadInput names all recipes that cannot run in its place.

    Every recipe is walked through with a made-up model on the real tasks, as a dry run does.
    """
    refused: dict[str, SharpenError] = {}
    arms = []
    for arm in plan.arms:
        if arm.name in names:
            try:
                arm = arm.model_copy(update={"rounds": _rounds(plan, arm)})
            except SharpenError as error:
                refused[arm.name] = error
        arms.append(arm)
    if refused:
        raise BadInput(
            "recipes",
            ", ".join(refused),
            "; ".join(f"{name} cannot run here: {error.problem}" for name, error in refused.items()),
            remedy="; ".join(dict.fromkeys(error.remedy for error in refused.values())),
        )
    return plan.model_copy(update={"arms": tuple(arms)})


def _rounds(plan: Plan, arm: ArmPlan) -> int | None:
    """As many rounds as the budget pays for; none if that is not for us to say."""
    forecast = predict(plan.spec(arm, plan.seeds[0]))
    recipe = load_recipe(arm.recipe)
    if ROUNDS not in recipe.config.model_fields or ROUNDS in arm.settings:
        return None
    times = _times(plan.budget, forecast)
    natural = int(getattr(recipe.configure(arm.settings), ROUNDS))
    return None if times is None else max(1, ceil(_SPARE * natural * times))


def _times(budget: Budget, forecast: Forecast) -> float | None:
    """How often the budget pays for the run as it is; None if nothing limits it."""
    used = {**forecast.usage.model_dump(), "seconds": forecast.seconds}
    limits = budget.model_dump(exclude_none=True)
    return min((limit / used[meter] for meter, limit in limits.items() if used[meter]), default=None)
