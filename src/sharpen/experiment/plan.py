"""What a comparison consists of: arms, seeds, one request and one budget. It can grow, but not change."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, JsonValue, ValidationError

from sharpen.core.artifact import write_atomic
from sharpen.core.budget import Budget
from sharpen.core.errors import BadInput, Damaged, Mismatch
from sharpen.core.plugins import stem_of
from sharpen.core.recipe import load_recipe, recipe_names
from sharpen.core.records import Record
from sharpen.core.seeds import seed_for
from sharpen.experiment.spec import Request, RunSpec

FILE = "plan.json"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_SEEDS = 2**31
_TRIED = ("lock", "logs")
"""What a comparison leaves in its folder that was refused before it began."""


class ArmPlan(Record):
    """One arm: a recipe with settings, under a name."""

    name: str
    recipe: str
    """Its name, or a path to a recipe file."""
    settings: Mapping[str, JsonValue] = Field(default_factory=dict)
    """That were given."""
    rounds: int | None = None
    """As many as the budget pays for by forecast, and a quarter more; none where the recipe itself decides,
    or the settings do."""

    @property
    def all_settings(self) -> dict[str, JsonValue]:
        """The settings with the number of rounds."""
        return {**self.settings, **({} if self.rounds is None else {ROUNDS: self.rounds})}


ROUNDS = "iterations"
"""The setting by which recipes count their rounds."""


class Plan(Record):
    """A comparison as asked for, whole."""

    request: Request
    """What all runs share; its seed is not used."""
    budget: Budget
    arms: tuple[ArmPlan, ...]
    seeds: tuple[int, ...]
    at_home: bool = False
    """Whether it takes place where its recipes are at home, with the settings they have there."""

    def spec(self, arm: ArmPlan, seed: int) -> RunSpec:
        """The run of an arm. Its own controls are not asked for: the comparison has its own."""
        return self._spec(arm.recipe, arm.all_settings, _seed_of(arm, seed), self.budget)

    def control(self, recipe: str, settings: Mapping[str, JsonValue], seed: int) -> RunSpec:
        """The run of a control, at the same place."""
        return self._spec(recipe, settings, seed, Budget())

    def _spec(self, recipe: str, settings: Mapping[str, JsonValue], seed: int, budget: Budget) -> RunSpec:
        shared = {name: getattr(self.request, name) for name in Request.model_fields}
        own = {"recipe": recipe, "settings": settings, "seed": seed, "budget": budget, "control_samples": 1}
        return RunSpec(**{**shared, **own})


def _seed_of(arm: ArmPlan, seed: int) -> int:
    """Chance is keyed by recipe and seed; an arm with a name of its own has draws of its own.

    So a recipe under two names shows how far luck alone takes two arms apart.
    """
    if arm.name == Path(stem_of(arm.recipe)).stem:
        return seed
    return seed_for("arm", arm.name, seed) % _SEEDS


def arms_of(text: str) -> tuple[ArmPlan, ...]:
    """Read `star,rft:lr=1e-4,epochs=2,again=star`: recipes, their settings, and names of one's own.

    `x=y` is a setting where it follows a colon, unless y is a recipe: then x is a name for it.
    """
    arms: list[tuple[str | None, str, dict[str, JsonValue]]] = []
    recipes = recipe_names()
    for piece in filter(None, map(str.strip, re.split(r",(?![^\[{]*[\]}])", text))):
        head, colon, first = piece.partition(":")
        if not colon and arms and "=" in head and not _is_recipe(head.partition("=")[2], recipes):
            arms[-1][2].update([_setting(piece)])
            continue
        name, equals, recipe = head.partition("=")
        recipe = recipe if equals else name
        arms.append((name if equals else None, recipe, dict([_setting(first)] if colon else [])))
    return tuple(
        ArmPlan(
            name=_named(load_recipe(recipe).name if name is None else name), recipe=recipe, settings=settings
        )
        for name, recipe, settings in arms
    )


def _is_recipe(text: str, known: Collection[str]) -> bool:
    return stem_of(text) in known or text.endswith(".py")


def _setting(piece: str) -> tuple[str, JsonValue]:
    name, equals, value = piece.partition("=")
    if not name or not equals:
        raise BadInput("recipes", piece, "is not key=value", remedy="write NAME:key=value,key=value")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _named(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise BadInput("recipes", name, "cannot name an arm", remedy="use letters, digits, '_', '-' and '.'")
    return name


def planned(
    folder: Path,
    arms: Sequence[ArmPlan],
    asked: Mapping[str, Any],
    budget: Budget | None,
    seeds: int | None,
) -> Plan:
    """The comparison in `folder` with what is asked for now; Mismatch if that changes what it is about.

    `asked` are the fields of the request that are given. Of what an earlier call asked for nothing is
    dropped: the plan has its arms and seeds, too.
    """
    old = read_plan(folder)
    wanted = tuple(range(seeds)) if seeds else ()
    if old is None:
        plan = _first(arms, asked, budget or Budget(), wanted or (0,))
    else:
        _refuse_change(old, asked, budget)
        arms = _settled(arms, old.request.task) if old.at_home else arms
        seeds_now = tuple(sorted({*old.seeds, *wanted}))
        plan = old.model_copy(update={"arms": _joined(old.arms, arms), "seeds": seeds_now})
    for arm in plan.arms:
        load_recipe(arm.recipe).configure(arm.all_settings)
    return plan


def _first(arms: Sequence[ArmPlan], asked: Mapping[str, Any], budget: Budget, seeds: tuple[int, ...]) -> Plan:
    if not arms:
        raise BadInput("recipes", "", "there is nothing to compare", remedy="name recipes: star,rft,grpo")
    request: Mapping[str, Any] = {"threads": 1, **asked}
    at_home = "task" not in asked
    if at_home:
        home = load_recipe(arms[0].recipe).home.request
        arms = _settled(arms, home.get("task"))
        request = {**home, **request}
    return Plan(
        request=Request(**request), budget=budget, arms=_joined((), arms), seeds=seeds, at_home=at_home
    )


def _settled(arms: Sequence[ArmPlan], task: object) -> tuple[ArmPlan, ...]:
    """The arms with the settings of their recipes' homes, which must be of one task."""
    homes = [load_recipe(arm.recipe).home for arm in arms]
    if not task or any(home.request.get("task") != task for home in homes):
        where = ", ".join(
            f"{arm.name}: {home.request.get('task')}" for arm, home in zip(arms, homes, strict=True)
        )
        raise BadInput("task", "", f"is missing, and the recipes' own differ ({where})", remedy="give --task")
    return tuple(
        arm.model_copy(update={"settings": {**home.config, **arm.settings}})
        for arm, home in zip(arms, homes, strict=True)
    )


def _refuse_change(old: Plan, asked: Mapping[str, Any], budget: Budget | None) -> None:
    new = old.request.model_copy(update=asked)
    changed = [
        f"{name}: {getattr(old.request, name)!r} -> {getattr(new, name)!r}"
        for name in asked
        if getattr(old.request, name) != getattr(new, name)
    ]
    if budget not in (None, old.budget):
        changed.append(f"budget: {old.budget.model_dump(exclude_none=True)}")
    if changed:
        raise Mismatch(
            f"the comparison is of something else: {'; '.join(changed)}",
            remedy="only seeds and recipes can be added; use another --out for anything else",
        )


def _joined(old: Sequence[ArmPlan], new: Sequence[ArmPlan]) -> tuple[ArmPlan, ...]:
    arms = {arm.name: arm for arm in old}
    for arm in new:
        known = arms.setdefault(arm.name, arm)
        if (known.recipe, known.settings) != (arm.recipe, arm.settings):
            raise BadInput(
                "recipes",
                arm.name,
                f"is already {known.recipe} with {dict(known.settings)}",
                remedy=f"give it another name: NAME={arm.recipe}:key=value",
            )
    return tuple(arms.values())


def read_plan(folder: Path) -> Plan | None:
    """The plan of the comparison in a folder; None if there is none."""
    path = folder / FILE
    if not path.is_file():
        if folder.is_dir() and any(path.name not in _TRIED for path in folder.iterdir()):
            raise BadInput("out", str(folder), "holds other things", remedy="give a new or empty folder")
        return None
    try:
        return Plan.model_validate_json(path.read_bytes())
    except ValidationError:
        raise Damaged(f"{path} is not a plan", remedy="use another --out") from None


def write_plan(plan: Plan, folder: Path) -> None:
    """Write the plan into its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / FILE, plan.model_dump_json(indent=1).encode() + b"\n")
