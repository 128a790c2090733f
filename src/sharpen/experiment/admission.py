"""Which recipes may enter a comparison, and for how many rounds: settled before any work is done."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from math import ceil
from pathlib import Path

from sharpen.core.artifact import write_atomic
from sharpen.core.budget import Budget
from sharpen.core.errors import BadInput, SharpenError
from sharpen.core.recipe import load_recipe
from sharpen.executors.crew import Crew
from sharpen.executors.pool import JudgePool
from sharpen.experiment.assemble import assemble
from sharpen.experiment.plan import ROUNDS, ArmPlan, Plan
from sharpen.experiment.predict import Forecast, predict

_SPARE = 1.25
"""More rounds than forecast: it is better that the budget ends an arm than that the arm ends early."""


def admitted(plan: Plan, names: Sequence[str], crew: Crew, logs: Path) -> Plan:
    """The plan with the rounds of these arms; BadInput names all recipes that cannot run in its place.

    Rounds are forecast by a dry run in another process, since a recipe may stumble over what a made-up model
    says; then its own settings decide, if nothing else speaks against it.
    """
    logs.mkdir(exist_ok=True)
    new = [arm for arm in plan.arms if arm.name in names]
    counted = [arm for arm in new if _is_counted(plan, arm)]
    forecasts = {arm.name: logs / f"{arm.name}-forecast.json" for arm in counted}
    failed = _outcomes(crew, [(arm.name, _forecast, plan, arm, forecasts[arm.name]) for arm in counted])
    unsure = [arm for arm in new if arm not in counted or failed[arm.name] is not None]
    checked = _outcomes(crew, [(arm.name, _check, plan, arm) for arm in unsure])
    _refuse({name: error for name, error in checked.items() if error is not None})
    rounds = {name: _rounds(plan, name, path) for name, path in forecasts.items() if failed[name] is None}
    arms = [
        arm.model_copy(update={"rounds": rounds[arm.name]}) if arm.name in rounds else arm
        for arm in plan.arms
    ]
    return plan.model_copy(update={"arms": tuple(arms)})


def _outcomes(crew: Crew, work: Sequence[tuple[object, ...]]) -> dict[str, SharpenError | None]:
    """Do all work; of every name what went wrong."""
    found: dict[str, SharpenError | None] = {}
    waiting = list(work)
    while waiting or crew.busy:
        while waiting and crew.free:
            name, function, *arguments = waiting.pop(0)
            assert callable(function)
            crew.start(name, function, *arguments)
        ended = crew.wait()
        found[ended.key] = ended.error
    return found


def _refuse(refused: dict[str, SharpenError]) -> None:
    if refused:
        raise BadInput(
            "recipes",
            ", ".join(refused),
            "; ".join(f"{name} cannot run here: {error.problem}" for name, error in refused.items()),
            remedy="; ".join(dict.fromkeys(error.remedy for error in refused.values())),
        )


def _is_counted(plan: Plan, arm: ArmPlan) -> bool:
    """Whether the number of its rounds is for the budget to say."""
    limited = bool(plan.budget.model_dump(exclude_none=True))
    return limited and ROUNDS in load_recipe(arm.recipe).config.model_fields and ROUNDS not in arm.settings


def _check(plan: Plan, arm: ArmPlan) -> None:
    """In another process: SharpenError unless everything opens and fits."""
    with JudgePool() as pool:
        assemble(plan.spec(arm, plan.seeds[0]), pool)


def _forecast(plan: Plan, arm: ArmPlan, path: Path) -> None:
    """In another process: write what a dry run says of the arm as it is; why not, if it fails."""
    with path.with_suffix(".log").open("ab", buffering=0) as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
    # The comparison is paid for in any case, and rounds counted from longest answers would be too few.
    forecast = predict(plan.spec(arm, plan.seeds[0]), paying=True)
    write_atomic(path, forecast.model_dump_json().encode())


def _rounds(plan: Plan, name: str, path: Path) -> int | None:
    """As many rounds as the budget pays for; none if nothing that it limits is used."""
    (arm,) = (arm for arm in plan.arms if arm.name == name)
    natural = int(getattr(load_recipe(arm.recipe).configure(arm.settings), ROUNDS))
    times = _times(plan.budget, Forecast.model_validate_json(path.read_bytes()))
    return None if times is None else max(1, ceil(_SPARE * natural * times))


def _times(budget: Budget, forecast: Forecast) -> float | None:
    """How often the budget pays for the run as it is."""
    used = {**forecast.usage.model_dump(), "seconds": forecast.seconds}
    limits = budget.model_dump(exclude_none=True)
    return min((limit / used[meter] for meter, limit in limits.items() if used[meter]), default=None)
