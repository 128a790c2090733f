"""Run a recipe from its request to its result; calling it again goes on where it stopped."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from sharpen.actors.base import Cast, Stage
from sharpen.core.artifact import ArtifactStore, write_atomic
from sharpen.core.budget import Budget, Purpose
from sharpen.core.engine import Done, Engine, Listener
from sharpen.core.errors import BadInput, BudgetExhausted, Mismatch, SharpenError
from sharpen.core.gate import GateRule
from sharpen.core.journal import Journal, head_of
from sharpen.core.past import Past
from sharpen.core.policy import Decoding, Policy
from sharpen.core.run import Run
from sharpen.core.updater import Stopwatch
from sharpen.core.watch import Watcher
from sharpen.executors.hands import Hands
from sharpen.executors.source import LOCAL, open_pool
from sharpen.experiment.assemble import POLICY_MODEL, Setup, assemble, told_of
from sharpen.experiment.engines import led, open_engines
from sharpen.experiment.finished import finished, written
from sharpen.experiment.manifest import KEY, Manifest, differences, read_manifest, same_place
from sharpen.experiment.outcome import conclude
from sharpen.experiment.result import RESULT, Result
from sharpen.experiment.spec import RunSpec
from sharpen.models.source import open_model
from sharpen.monitors.collapse import CollapseWatch
from sharpen.monitors.hacking import HackWatch
from sharpen.monitors.leaks import LeakWatch


def execute(
    spec: RunSpec,
    folder: Path,
    listener: Listener,
    *,
    fork: bool = False,
    repair: bool = False,
    past: Path | None = None,
    tell: Callable[[str, str], None] | None = None,
) -> Result:
    """Run, or continue, the run in `folder` and write `folder`/result.json.

    With `fork`, a run of another identity in `folder` is left alone and a new one is made beside it.
    With `repair`, stored files that are damaged are computed again. Model work that the run in `past`, or the
    one that is forked, did in the same way is taken over from it: it may have other settings of the recipe.
    `tell` hears of the tasks, by name and text, before any work.
    """
    started, asked = time.perf_counter(), folder
    _refuse_unusable(folder)
    old = read_manifest(folder)
    with open_pool(spec.executor) as pool:
        if old and not repair and (result := finished(spec, folder, old, pool)):
            return result
        setup = replace(assemble(_as_before(spec, old), pool), spec=spec)
        if tell:
            for name, text in told_of(setup.spec, setup.tasks):
                tell(name, text)
        folder, manifest = _place(setup, old, folder, fork=fork)
        hands = open_engines(setup.spec, pool, setup.model)
        journal = Journal(folder)
        try:
            engine = _engine(setup, hands, journal, folder, listener, started, repair=repair)
            engine.past = _past(past or (asked if asked != folder else None), manifest)
            engine.step(
                KEY, "manifest", manifest.identity, Manifest, Purpose.EVALUATION, lambda: Done(manifest)
            )
            final, stopped_by = _loop(setup, engine)
            result = conclude(setup, engine, final, stopped_by).sealed()
        finally:
            journal.close()
    there = written(folder)
    # A result of the same journal could differ in times only.
    if there is None or there.journal_head != result.journal_head:
        write_atomic(folder / RESULT, result.model_dump_json(indent=1).encode() + b"\n")
    return result


def resume(
    folder: Path,
    listener: Listener,
    *,
    budget: Budget | None,
    repair: bool,
    executor: str = LOCAL,
    tell: Callable[[str, str], None] | None = None,
) -> Result:
    """Continue the run in `folder` as it was asked for, maybe with another budget."""
    manifest = begun(folder)
    asked = {"executor": executor} if budget is None else {"executor": executor, "budget": budget}
    spec = manifest.spec.model_copy(update=asked)
    return execute(spec, folder, listener, repair=repair, tell=tell)


def begun(folder: Path) -> Manifest:
    """What the run in `folder` was asked to do; SharpenError if there is none that could be continued."""
    manifest = read_manifest(folder)
    if manifest is None:
        raise SharpenError(f"there is no run in {folder}", remedy="`sharpen runs` lists the runs")
    return manifest


def _refuse_unusable(folder: Path) -> None:
    """A run needs a folder of its own; nothing is created before everything else has been checked."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise BadInput("out", str(folder), "cannot be a folder", remedy="give a place that can be written")
    foreign = there == folder and any(path.name != "lock" for path in there.iterdir())
    if foreign and not (folder / "journal.sqlite").exists():
        raise BadInput("out", str(folder), "holds other things", remedy="give a new or empty folder")


def _as_before(spec: RunSpec, old: Manifest | None) -> RunSpec:
    """Machine-dependent choices of a run stay what they were when it began."""
    if old is None:
        return spec
    kept = {name: old.identity[name] for name in ("threads", "dtype") if getattr(spec, name) is None}
    return spec.model_copy(update=kept)


def _place(setup: Setup, old: Manifest | None, folder: Path, *, fork: bool) -> tuple[Path, Manifest]:
    if old is None:
        return folder, setup.manifest()
    changed = differences(old, setup.manifest(old.parent))
    if not changed:
        return folder, old
    if not fork:
        raise Mismatch(
            f"run {folder} was made with something else: {'; '.join(changed)}",
            remedy="undo the change, use another --out, or add --fork to start a new run with lineage",
        )
    number = 1
    while (target := folder.with_name(f"{folder.name}.fork-{number}")).exists():
        number += 1
    return target, setup.manifest(f"{folder.name} at {head_of(folder)}")


def _past(folder: Path | None, manifest: Manifest) -> Past | None:
    """The run whose work may be taken over; none if it is of something else, or if seconds are limited."""
    old = read_manifest(folder) if folder else None
    if folder is None or old is None or manifest.spec.budget.seconds is not None:
        return None
    return Past(folder) if same_place(old, manifest) else None


def _engine(
    setup: Setup,
    hands: Hands | None,
    journal: Journal,
    folder: Path,
    listener: Listener,
    started: float,
    *,
    repair: bool,
) -> Engine:
    store, stopwatch = ArtifactStore(folder / "store"), Stopwatch()
    models: dict[str, Any] = {POLICY_MODEL: setup.model}
    cast = Cast(Stage(models, store, stopwatch))
    return Engine(
        recipe=setup.recipe.name,
        seed=setup.spec.seed,
        journal=journal,
        store=store,
        actor=led(cast, hands),
        verifier=setup.verifier,
        models=models,
        folder=folder,
        listener=listener,
        decoding=Decoding(max_tokens=setup.max_tokens),
        test_temperature=setup.spec.test_temperature,
        gate=GateRule(mode=setup.spec.gate),
        budget=setup.spec.budget,
        chunk_rows=setup.chunk_rows,
        stopwatch=stopwatch,
        started=started,
        opening=partial(open_model, threads=setup.threads),
        repair=repair,
        incumbent=setup.policy,
        watchers=_watchers(setup),
    )


def _watchers(setup: Setup) -> tuple[Watcher, ...]:
    watchers: list[Watcher] = [setup.tasks.held_out(partial(LeakWatch, setup.tasks.train)), CollapseWatch()]
    return (*watchers, *([HackWatch(setup.held_back)] if setup.held_back else []))


def _loop(setup: Setup, engine: Engine) -> tuple[Policy, str | None]:
    """Run the recipe; a budget that runs out leaves the last adopted policy."""
    try:
        return setup.recipe.loop(Run(engine), setup.tasks.sealed(), setup.policy, setup.config), None
    except BudgetExhausted as error:
        return engine.incumbent or setup.policy, error.meter
