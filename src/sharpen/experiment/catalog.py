"""The list of recipes with what each improves, sees and needs, and what its reproduction found."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from sharpen.core.errors import Damaged
from sharpen.core.recipe import Need, load_recipe, recipe_names
from sharpen.core.records import Record
from sharpen.core.task import Channel
from sharpen.experiment.assemble import actors_of
from sharpen.experiment.reproduce import Finding, Reproduction


class Listed(Record):
    """A recipe as the list shows it."""

    slug: str
    summary: str
    paper: str
    improves: str
    sees: tuple[Channel, ...]
    needs: tuple[Need, ...]
    acts: tuple[str, ...]
    """Actors of tasks that it can be run on; of any, if empty."""
    verdict: Finding | None
    """What its reproduction found; None if there is no result file."""
    date: str | None
    """When that was."""


def listed(results: Path) -> list[Listed]:
    """Every recipe, with its result file in the folder `results` where there is one."""
    return [_listed(name, summary, results / f"{name}.json") for name, summary in recipe_names().items()]


def _listed(name: str, summary: str, path: Path) -> Listed:
    recipe, found = load_recipe(name), _reproduction(path)
    return Listed(
        slug=name,
        summary=summary,
        paper=recipe.paper,
        improves=recipe.improves,
        sees=recipe.sees,
        needs=recipe.needs,
        acts=actors_of(recipe),
        verdict=found.verdict if found else None,
        date=found.date if found else None,
    )


def _reproduction(path: Path) -> Reproduction | None:
    if not path.is_file():
        return None
    try:
        return Reproduction.model_validate_json(path.read_bytes())
    except ValidationError:
        raise Damaged(f"{path} is not a result file", remedy="move it away, or make it anew") from None
