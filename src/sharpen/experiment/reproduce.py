"""Put a recipe's claim to the test: method, baselines, ablation and controls, over several seeds.

Every arm is an ordinary run in a folder of its own, so a reproduction that was stopped goes on where it was.
Model work that an arm shares with the method's run of its seed is done once; every arm is charged for it.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date
from enum import StrEnum
from pathlib import Path

from pydantic import Field, JsonValue, ValidationError

from sharpen.core.artifact import write_atomic
from sharpen.core.budget import Usage
from sharpen.core.engine import Listener
from sharpen.core.errors import BadInput, Damaged
from sharpen.core.recipe import Baseline, Recipe, Rival, Setting, load_recipe
from sharpen.core.records import Record
from sharpen.core.spec import Spec
from sharpen.core.stats import Interval, crossed_interval
from sharpen.experiment.arms import Finished, commit, finished, method_usage
from sharpen.experiment.execute import execute
from sharpen.experiment.result import Result
from sharpen.experiment.spec import RunSpec

METHOD, BEFORE, MORE, ABLATION = "method", "before", "more samples", "ablation"


class Finding(StrEnum):
    """What a reproduction says of a claim."""

    REPRODUCED = "reproduced"
    """The effect's interval is above zero, and the ablation's is not."""
    NULL = "null"
    """The effect, or its absence under the ablation, was not seen."""
    CONTRADICTED = "contradicted"
    """The effect's interval is below zero."""


class Arm(Interval):
    """Sealed-test score of an arm over seeds and tasks, and what its method used on average."""

    settings: Mapping[str, JsonValue] = Field(default_factory=dict)
    usage: Usage | None = None
    """None for scores that come out of the method's own runs."""


class Row(Record):
    """One run of one arm."""

    seed: int
    arm: str
    before: float | None
    after: float | None
    more_samples: float | None
    """Of the method alone."""
    measures: Mapping[str, float]
    """The method's own numbers of the last round."""
    facts: Mapping[str, tuple[float | None, float | None]]
    """What the environment reports, before and after."""
    seconds: float
    """Without the work that was taken over from the method's run."""
    model_time_share: float


class Reproduction(Record):
    """A claim and what was found; results/SLUG.json holds exactly this."""

    slug: str
    claim: str
    verdict: Finding
    against: str
    """The arm that the method must beat."""
    effect: Interval
    """Method minus that arm, paired by seed and task."""
    gain: Interval
    """Method minus before."""
    ablation: Interval
    """The ablation in the method's place: ablated minus that arm."""
    task: str
    model: str
    sizes: tuple[int, int, int]
    seeds: tuple[int, ...]
    arms: Mapping[str, Arm]
    rows: tuple[Row, ...]
    budget: Usage
    """The method's use per run, on average."""
    hardware: Mapping[str, JsonValue]
    versions: Mapping[str, str]
    command: str
    commit: str
    date: str
    tried: tuple[str, ...] = ()
    """Written by people: what else was tried, and what came of it. Kept when results are measured anew."""


def reproduce(
    name: str,
    *,
    seeds: Sequence[int],
    runs: Path,
    out: Path,
    listening: Callable[[str], AbstractContextManager[Listener]],
    arms: Sequence[str] = (),
    quick: bool = False,
) -> Reproduction:
    """Run all arms for all seeds and write `out`/NAME.json after each seed; finished runs are not run again.

    `listening` makes the listener of a run from its title. `arms` names the baselines that are run, all if it
    is empty; `quick` takes the place in which the recipe is demonstrated instead of its home.
    """
    recipe = load_recipe(name)
    place = recipe.demo if quick else recipe.home
    if not recipe.ablation or not place.request:
        raise BadInput(
            "recipe", name, "declares no home or no ablation", remedy="give @recipe(home=..., ablation=...)"
        )
    settings: dict[str, Baseline] = {METHOD: {}, **_chosen(recipe, arms), ABLATION: recipe.ablation}
    path = out / f"{recipe.name}.json"
    found: dict[tuple[int, str], Finished] = {}
    for seed in seeds:
        for arm, own in settings.items():
            spec = _drawn_anew(_at(name, place, own, seed))
            if arm != METHOD:  # only the method's control is asked for
                spec = spec.model_copy(update={"control_samples": 1})
            start = f"{recipe.name}{'-quick' * quick}-s{seed}"
            folder, past = (runs / f"{start}-{one.replace(' ', '-')}" for one in (arm, METHOD))
            title = f"{recipe.name}, seed {seed}, {arm} ({len(found) + 1} of {len(seeds) * len(settings)})"
            with listening(title) as listener:
                found[seed, arm] = _run(spec, folder, listener, past)
        known = summary(recipe, settings, found, tried=_tried(path), quick=quick)
        write_atomic(path, known.model_dump_json(indent=1).encode() + b"\n")
    return known


def _chosen(recipe: Recipe, arms: Sequence[str]) -> dict[str, Baseline]:
    """The baselines of those names, in the recipe's order; all if none is named."""
    for arm in arms:
        if arm not in recipe.arms:
            raise BadInput(
                "arms", arm, f"{recipe.name} has no such arm", remedy=f"one of: {list(recipe.arms)}"
            )
    return {arm: own for arm, own in recipe.arms.items() if arm in arms or not arms}


def _at(name: str, place: Setting, own: Baseline, seed: int) -> RunSpec:
    """The run of an arm in the place where the claim is tested."""
    if isinstance(own, Rival):
        settings = {**load_recipe(own.recipe).home.config, **own.config}
        return RunSpec.at(own.recipe, Setting(request=place.request, config=settings), {"seed": seed})
    return RunSpec.at(name, place.at(**own), {"seed": seed})


def _drawn_anew(spec: RunSpec) -> RunSpec:
    """The run on tasks of its own seed, so that a claim does not hang on one set of tasks."""
    task = Spec.parse(spec.task, kind="task")
    options = {"data_seed": str(spec.seed), **task.options}
    return spec.model_copy(update={"task": str(Spec(task.name, options))})


def _run(spec: RunSpec, folder: Path, listener: Listener, past: Path) -> Finished:
    return finished(execute(spec, folder, listener, past=past if past != folder else None), folder)


def summary(
    recipe: Recipe,
    settings: Mapping[str, Baseline],
    found: Mapping[tuple[int, str], Finished],
    *,
    tried: tuple[str, ...],
    quick: bool,
) -> Reproduction:
    """What finished runs say of the claim."""
    seeds = tuple(dict.fromkeys(seed for seed, _ in found))
    first = found[seeds[0], METHOD].result
    after = {arm: [found[seed, arm].after for seed in seeds] for arm in settings}
    scores = {BEFORE: [found[seed, METHOD].before for seed in seeds], **after}
    against = next((arm for arm in recipe.arms if arm in settings), BEFORE)
    effect = difference(scores[METHOD], scores[against])
    ablation = difference(scores[ABLATION], scores[against])
    arms = {arm: Arm(**dict(_level(rows))) for arm, rows in scores.items()}
    for arm, own in settings.items():
        usage = method_usage([found[seed, arm].result for seed in seeds])
        told = {"recipe": own.recipe, **own.config} if isinstance(own, Rival) else own
        arms[arm] = arms[arm].model_copy(update={"settings": told, "usage": usage})
    arms[MORE] = Arm(**dict(crossed_interval(_more_samples(found, seeds))))
    return Reproduction(
        slug=recipe.name,
        claim=recipe.claim,
        verdict=verdict(effect, ablation),
        against=against,
        effect=effect,
        gain=difference(scores[METHOD], scores[BEFORE]),
        ablation=ablation,
        task=str((recipe.demo if quick else recipe.home).request["task"]),
        model=first.spec.model,
        sizes=(first.spec.train, first.spec.val, first.spec.test),
        seeds=seeds,
        arms=arms,
        rows=tuple(_row(seed, arm, done.result) for (seed, arm), done in found.items()),
        budget=method_usage([found[seed, METHOD].result for seed in seeds]),
        hardware={**first.hardware, "machine": platform.machine()},
        versions=first.versions,
        command=_command(recipe, settings, seeds, quick=quick),
        commit=commit(),
        date=date.today().isoformat(),
        tried=tried,
    )


def _command(recipe: Recipe, settings: Mapping[str, Baseline], seeds: Sequence[int], *, quick: bool) -> str:
    words = [f"sharpen reproduce {recipe.name} --seeds {len(seeds)}"]
    words += [f"--first-seed {seeds[0]}"] if seeds[0] else []
    words += [f"--arms {arm!r}" for arm in recipe.arms if arm in settings] * (
        len(settings) < len(recipe.arms) + 2
    )
    return " ".join([*words, *["--quick"] * quick])


def verdict(effect: Interval, ablation: Interval) -> Finding:
    """The rule: an effect that is there, and is gone with what the method learns from."""
    if effect.below_zero:
        return Finding.CONTRADICTED
    return Finding.REPRODUCED if effect.above_zero and not ablation.above_zero else Finding.NULL


Scores = Sequence[Sequence[float | None]]


def difference(one: Scores, other: Scores) -> Interval:
    """First minus second, over the tasks that are known on both sides for every seed."""
    cells = [
        [None if a is None or b is None else a - b for a, b in zip(x, y, strict=True)]
        for x, y in zip(one, other, strict=True)
    ]
    return _level(cells)


def _level(rows: Scores) -> Interval:
    columns = [column for column in zip(*rows, strict=True) if None not in column]
    known = [[float(column[i] or 0.0) for column in columns] for i in range(len(rows))]
    return crossed_interval(known)


def _more_samples(found: Mapping[tuple[int, str], Finished], seeds: Sequence[int]) -> list[list[float]]:
    """Means of the control, one per seed: its scores by task are not kept apart."""
    means = (found[seed, METHOD].result.controls.more_samples.mean for seed in seeds)
    return [[mean] for mean in means if mean is not None]


def _row(seed: int, arm: str, result: Result) -> Row:
    changes = result.test.facts.items()
    return Row(
        seed=seed,
        arm=arm,
        before=result.test.before.mean,
        after=result.test.after.mean,
        more_samples=result.controls.more_samples.mean if arm == METHOD else None,
        measures=result.rounds[-1].measures if result.rounds else {},
        facts={name: (change.before.mean, change.after.mean) for name, change in changes},
        seconds=round(result.wall_seconds, 1),
        model_time_share=round(result.model_time_share, 3),
    )


def _tried(path: Path) -> tuple[str, ...]:
    if not path.is_file():
        return ()
    try:
        return Reproduction.model_validate_json(path.read_bytes()).tried
    except ValidationError:
        raise Damaged(f"{path} is not a result file", remedy="move it away, or give another --out") from None
