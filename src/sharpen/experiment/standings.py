"""From finished runs to a comparison: scores, differences, ranks, curves, and what may be concluded."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from sharpen.core.budget import Purpose, Timing, Usage
from sharpen.core.journal import read_rows
from sharpen.core.league import League, Scores, Tested, league, level, over_seeds
from sharpen.core.recipe import load_recipe
from sharpen.core.stats import Interval
from sharpen.experiment.arms import Answered, Finished, commit, finished, mean_usage
from sharpen.experiment.comparison import ArmResult, ArmRun, Comparison, Pair, Point, Role, Standing
from sharpen.experiment.plan import ArmPlan, Plan
from sharpen.experiment.show import read_result

CONTROL = "controls"
"""The arm of the runs that give both controls."""
_UNDERUSED, _OVERUSED = 0.9, 1.1
"""Shares of a limit beyond which a reader is told."""
_IN_ROUND = re.compile(r"round\.(\d+)/")


class Done(NamedTuple):
    """A finished run of a comparison."""

    seed: int
    path: Path
    """Relative to the comparison's folder."""
    root: Path

    def read(self) -> Finished:
        """Its result and scores."""
        return finished(read_result(self.root / self.path), self.root / self.path)


def standings(
    plan: Plan, seeds: Sequence[int], done: Mapping[str, Sequence[Done]], command: str
) -> Comparison:
    """What the runs of all arms say, over the seeds that are complete."""
    read = {name: [run.read() for run in runs] for name, runs in done.items()}
    methods: dict[str, Scores] = {arm.name: [run.after for run in read[arm.name]] for arm in plan.arms}
    controls: dict[str, Scores] = {
        Role.NO_UPDATE: [run.before for run in read[CONTROL]],
        Role.MORE_SAMPLES: [run.after for run in read[CONTROL]],
    }
    found = league(methods, controls)
    arms = [_method(arm, done[arm.name], read[arm.name], found, plan) for arm in plan.arms]
    arms += [
        _control(role, done[CONTROL], read[CONTROL], found) for role in (Role.NO_UPDATE, Role.MORE_SAMPLES)
    ]
    first = read[plan.arms[0].name][0].result
    return Comparison(
        task=plan.request.task,
        model=plan.request.model,
        verifier=plan.request.verifier or "the task's own",
        sizes=(plan.request.train, plan.request.val, plan.request.test),
        test_temperature=plan.request.test_temperature,
        budget=plan.budget,
        seeds=tuple(seeds),
        best_control=found.best_control,
        arms=tuple(arms),
        pairs=tuple(_pair(one, other, tested) for (one, other), tested in found.pairs.items()),
        conclusion=conclusion(arms, found, len(seeds)),
        notes=tuple(_notes(plan, arms, len(seeds))),
        hardware={**first.hardware, "machine": platform.machine()},
        versions=first.versions,
        command=command,
        commit=commit(),
    )


def _method(
    arm: ArmPlan, done: Sequence[Done], read: Sequence[Finished], found: League, plan: Plan
) -> ArmResult:
    runs = [_method_run(one, run) for one, run in zip(done, read, strict=True)]
    against, recipe = found.against[arm.name], load_recipe(arm.recipe)
    return _arm(arm.name, Role.METHOD, [run.after for run in read], runs, found).model_copy(
        update={
            "recipe": recipe.name,
            "paper": recipe.paper,
            "settings": arm.all_settings,
            "minus_control": against.delta,
            "p_value": against.p_value,
            "standing": _standing(against),
            "share": _share(plan, runs),
            "curve": _curve([_path(one, run) for one, run in zip(done, read, strict=True)]),
        }
    )


def _control(role: Role, done: Sequence[Done], read: Sequence[Finished], found: League) -> ArmResult:
    before = role is Role.NO_UPDATE
    runs = [_control_run(one, run, before=before) for one, run in zip(done, read, strict=True)]
    scores = [run.before if before else run.after for run in read]
    arm = _arm(role.value, role, scores, runs, found)
    return arm if before else arm.model_copy(update={"settings": read[0].result.spec.settings})


def _arm(name: str, role: Role, scores: Scores, runs: Sequence[ArmRun], found: League) -> ArmResult:
    return ArmResult(
        name=name,
        role=role,
        recipe="",
        score=level(scores),
        rank=found.ranks[name],
        usage=mean_usage([run.usage for run in runs]),
        seconds=fmean(run.seconds for run in runs),
        test_tokens=fmean(run.test_tokens for run in runs),
        runs=tuple(runs),
    )


def _method_run(done: Done, run: Finished) -> ArmRun:
    result = run.result
    used, timing = result.budget.used[Purpose.METHOD], result.budget.timing[Purpose.METHOD]
    return _arm_run(done, run, run.end, used, timing).model_copy(update={"stopped_by": result.stopped_by})


def _control_run(done: Done, run: Finished, *, before: bool) -> ArmRun:
    answered = run.start if before else run.end
    return _arm_run(done, run, answered, answered.usage, answered.timing)


def _arm_run(done: Done, run: Finished, answered: Answered, used: Usage, timing: Timing) -> ArmRun:
    known = [value for value in answered.values if value is not None]
    return ArmRun(
        seed=done.seed,
        folder=str(done.path),
        score=fmean(known) if known else None,
        usage=used,
        seconds=timing.seconds,
        dollars=timing.dollars,
        model_time_share=run.result.model_time_share,
        test_tokens=answered.usage.sampled_tokens,
        stopped_by=None,
        notes=run.result.notes,
    )


def _standing(found: Tested) -> Standing:
    if not found.clear:
        return Standing.UNCLEAR
    return Standing.ABOVE if found.delta.above_zero else Standing.BELOW


def _pair(one: str, other: str, found: Tested) -> Pair:
    return Pair(one=one, other=other, delta=found.delta, p_value=found.p_value, clear=found.clear)


def _share(plan: Plan, runs: Sequence[ArmRun]) -> dict[str, float]:
    """Of every limit, how much of it was used on average."""
    used = [{**run.usage.model_dump(), "seconds": run.seconds, "dollars": run.dollars or 0.0} for run in runs]
    limits = plan.budget.model_dump(exclude_none=True)
    return {meter: fmean(each[meter] for each in used) / limit for meter, limit in limits.items()}


def _path(done: Done, run: Finished) -> list[Point]:
    """The curve of one run."""
    seconds, spent = {0: 0.0}, 0.0
    for row in read_rows(done.root / done.path):
        if row.entry.purpose is Purpose.METHOD:
            spent += row.wall.seconds
        if place := _IN_ROUND.match(row.entry.key):
            seconds[int(place[1])] = spent
    start = Point(round=0, usage=Usage(), seconds=0.0, val=run.result.base_val, seeds=1)
    return [start] + [
        Point(round=one.round, usage=one.usage, seconds=seconds[one.round], val=one.val, seeds=1)
        for one in run.result.rounds
        if one.val is not None
    ]


def _curve(paths: Sequence[Sequence[Point]]) -> tuple[Point, ...]:
    """The average of several runs, round by round, over the runs that got there."""
    rounds = sorted({point.round for path in paths for point in path})
    return tuple(_average([p for path in paths for p in path if p.round == number]) for number in rounds)


def _average(points: Sequence[Point]) -> Point:
    if len(points) == 1:
        return points[0]
    means = [point.val.mean for point in points if point.val.mean is not None]
    return Point(
        round=points[0].round,
        usage=mean_usage([point.usage for point in points]),
        seconds=fmean(point.seconds for point in points),
        val=over_seeds(means),
        seeds=len(points),
    )


def _notes(plan: Plan, arms: Sequence[ArmResult], seeds: int) -> list[str]:
    """What every method got, and what to beware of."""
    notes = [_rule(plan)]
    for arm in arms:
        if arm.share and max(arm.share.values()) < _UNDERUSED:
            meter = max(arm.share, key=arm.share.__getitem__)
            notes.append(f"{arm.name} ended by itself with {arm.share[meter]:.0%} of its {meter} used")
        if over := [meter for meter, share in arm.share.items() if share > _OVERUSED]:
            excess = arm.share[over[0]] - 1
            notes.append(f"{arm.name} went over its {over[0]} by {excess:.0%}: a step is never cut short")
        if arm.score.n < seeds * plan.request.test:
            notes.append(f"{arm.name}: {plan.request.test - arm.score.n // seeds} test tasks have no verdict")
    if len(plan.seeds) > seeds:
        notes.append(f"{len(plan.seeds) - seeds} of {len(plan.seeds)} seeds are not complete and left out")
    return notes


def _rule(plan: Plan) -> str:
    limits = ", ".join(
        f"{limit:,.10g} {meter.replace('_', ' ')}"
        for meter, limit in plan.budget.model_dump(exclude_none=True).items()
    )
    if not limits:
        return "no budget was set: every method ran as long as its own settings say"
    fixed = [arm.name for arm in plan.arms if arm.rounds is None]
    said = f"every method got {limits}, and as many rounds as that pays for"
    return f"{said}; but {', '.join(fixed)} as many as their own settings say" if fixed else said


def conclusion(arms: Sequence[ArmResult], found: League, seeds: int) -> str:
    """What may be said."""
    control = next(arm for arm in arms if arm.name == found.best_control)
    named = f"the best control ({control.name}, {_percent(control.score)})"
    if seeds < 2:
        return f"One seed cannot tell methods from luck: no difference to {named} is claimed. Add seeds."
    by_standing = {standing: [arm for arm in arms if arm.standing is standing] for standing in Standing}
    above, below, unclear = (by_standing[s] for s in (Standing.ABOVE, Standing.BELOW, Standing.UNCLEAR))
    said = [f"Over {seeds} seeds, {_leading(above, named)}"]
    if below:
        said.append(f"{_listed(below)} {_verb(below, 'does', 'do')} worse than it.")
    if unclear:
        said.append(f"{_listed(unclear)} {_verb(unclear, 'is', 'are')} not clearly different from it.")
    if len(above) > 1:
        said.append(_among(above, found))
    return " ".join(said)


def _leading(above: Sequence[ArmResult], named: str) -> str:
    if not above:
        return f"no method does clearly better than {named}."
    gains = ", ".join(f"{arm.name} by {_percent(arm.minus_control, signed=True)}" for arm in above)
    return f"{len(above)} of the methods {_verb(above, 'does', 'do')} better than {named}: {gains}."


def _among(above: Sequence[ArmResult], found: League) -> str:
    names = {arm.name for arm in above}
    clear = [
        f"{one} does better than {other}" if tested.delta.above_zero else f"{other} does better than {one}"
        for (one, other), tested in found.pairs.items()
        if tested.clear and {one, other} <= names
    ]
    return f"Among these, {' and '.join(clear)}." if clear else "Which of these is best is not clear."


def _percent(score: Interval | None, *, signed: bool = False) -> str:
    if score is None or score.mean is None:
        return "unknown"
    return f"{score.mean:{'+' if signed else ''}.1%}"


def _listed(arms: Sequence[ArmResult]) -> str:
    *most, last = [arm.name for arm in arms]
    return f"{', '.join(most)} and {last}" if most else last


def _verb(arms: Sequence[ArmResult], one: str, many: str) -> str:
    return one if len(arms) == 1 else many
