"""Run the arms of a comparison over its seeds, side by side, with both controls; calling it again goes on.

Every run is an ordinary run in a folder of its own, in a process of its own. Nothing is taken over from one
run to another, so that seconds are those of each method alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout
from pydantic import JsonValue

from sharpen.core.artifact import write_atomic
from sharpen.core.engine import Listener
from sharpen.core.errors import Busy, Mismatch, SharpenError
from sharpen.core.recipe import Pick, load_recipe
from sharpen.executors.crew import Crew
from sharpen.executors.source import LOCAL, open_crew
from sharpen.experiment import more_samples
from sharpen.experiment.admission import admitted
from sharpen.experiment.comparison import Comparison
from sharpen.experiment.execute import execute
from sharpen.experiment.manifest import Manifest, code_fingerprint, read_manifest, versions
from sharpen.experiment.more_samples import Choice
from sharpen.experiment.plan import Plan, write_plan
from sharpen.experiment.show import read_result
from sharpen.experiment.spec import RunSpec
from sharpen.experiment.standings import CONTROL, Done, standings

FILE = "comparison.json"
PRELOAD = ("torch", "transformers.models.llama.modeling_llama", "scipy.stats", "sharpen.experiment.execute")
"""What runs import sooner or later, and takes long to import."""
_PLACE = ("model weights", "task set", "verifier code", "prompt", "max_tokens", "threads", "dtype")
"""Parts of an identity that all runs of a comparison have in common."""

Listening = Callable[[Path], AbstractContextManager[Listener]]
"""Path of a log -> listener that writes to it; importable by name, since it is called in another process."""


class Job(NamedTuple):
    """One run of an arm or of a control."""

    arm: str
    seed: int
    spec: RunSpec
    folder: Path

    @property
    def is_done(self) -> bool:
        """Whether it has its result."""
        return (self.folder / "result.json").is_file()


class Progress(NamedTuple):
    """A run that began or ended."""

    job: Job
    ended: bool
    done: int
    """Runs that are done."""
    total: int


def compare(
    plan: Plan,
    folder: Path,
    *,
    jobs: int | None,
    listening: Listening,
    heard: Callable[[Progress], None],
    command: str,
    executor: str = LOCAL,
    preload: Sequence[str] = PRELOAD,
) -> Comparison:
    """Run what is missing of a comparison, and write `folder`/comparison.json whenever a seed is complete.

    At most `jobs` runs go on at a time, as many as there are cores if None; `heard` is told of every run;
    `executor` says where runs go on: local, ray, or ray:ADDRESS; `preload` names modules that processes on
    this machine import once for all. What cannot run here is refused before any work. Raises SharpenError
    if a run failed: those beside it are stopped, and nothing done is lost.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        _refuse_other_code(plan, folder)
        # The crew comes first, since its fork server is the one that everything here shares.
        with open_crew(executor, jobs, preload=preload) as crew:
            new = [arm.name for arm in plan.arms if not _has_begun(plan, folder, arm.name)]
            plan = admitted(plan, new, crew, folder.absolute() / "logs") if new else plan
            write_plan(plan, folder)
            _run_all(_Field(plan, folder), crew, listening, heard, command)
    return _written(_Field(plan, folder), command)


class _Field:
    """The runs of a plan in its folder."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder = plan, folder
        self.total = len(plan.seeds) * (len(plan.arms) + 1)

    def arms(self, seed: int) -> list[Job]:
        """The runs of all methods with a seed."""
        return [_job(self.plan, self.folder, arm.name, seed) for arm in self.plan.arms]

    def control(self, seed: int) -> Job | None:
        """The run of both controls, once it is known how much work the methods did; before, None."""
        arms = self.arms(seed)
        if not all(job.is_done for job in arms):
            return None
        paid = max(read_result(job.folder).controls.more_samples.affordable for job in arms)
        samples = min(paid, self.plan.request.control_samples)
        settings: dict[str, JsonValue] = {"samples": samples, "choice": _choice(self.plan, arms[0])}
        spec = self.plan.control(str(Path(more_samples.__file__)), settings, seed)
        return Job(CONTROL, seed, spec, self.folder / "runs" / f"more-samples-{samples}-s{seed}")

    def waiting(self) -> Iterator[Job]:
        """Runs that can be started, seed by seed."""
        for seed in self.plan.seeds:
            control = self.control(seed)
            yield from (job for job in (*self.arms(seed), *([control] if control else [])) if not job.is_done)

    def complete(self) -> list[int]:
        """Seeds of which every run is done."""
        controls = {seed: self.control(seed) for seed in self.plan.seeds}
        return [seed for seed, control in controls.items() if control and control.is_done]

    def done(self) -> int:
        """How many runs are done."""
        return len(self.complete()) + sum(job.is_done for seed in self.plan.seeds for job in self.arms(seed))


def _choice(plan: Plan, job: Job) -> str:
    """How the control chooses among its samples: as the methods may, and as answers allow."""
    if any(load_recipe(arm.recipe).pick is Pick.BEST for arm in plan.arms):
        return Choice.BEST
    said = read_result(job.folder).controls.more_samples.note
    return Choice.FIRST if said.startswith("mean") else Choice.MAJORITY


def _job(plan: Plan, folder: Path, name: str, seed: int) -> Job:
    arm = {arm.name: arm for arm in plan.arms}[name]
    return Job(name, seed, plan.spec(arm, seed), folder / "runs" / f"{name}-s{seed}")


def _has_begun(plan: Plan, folder: Path, name: str) -> bool:
    return any(_job(plan, folder, name, seed).folder.exists() for seed in plan.seeds)


def _run_all(
    field: _Field, crew: Crew, listening: Listening, heard: Callable[[Progress], None], command: str
) -> None:
    """Keep the crew busy until every run is done."""
    running: dict[Path, Job] = {}
    known: list[int] = []
    while True:
        if (complete := field.complete()) != known:
            known = complete
            _written(field, command)
        for job in field.waiting():
            if crew.free and job.folder not in running:
                crew.start(job.folder, _run, job.spec, job.folder.absolute(), listening)
                running[job.folder] = job
                heard(Progress(job, False, field.done(), field.total))
        if not crew.busy:
            return
        ended = crew.wait()
        job = running.pop(ended.key)
        if ended.error is not None:
            raise SharpenError(
                f"{job.arm} with seed {job.seed} failed: {ended.error.problem}", remedy=ended.error.remedy
            )
        heard(Progress(job, True, field.done(), field.total))


def _run(spec: RunSpec, folder: Path, listening: Listening) -> None:
    """In a process of its own."""
    logs = folder.parent.parent / "logs"
    logs.mkdir(exist_ok=True)
    with listening(logs / f"{folder.name}.log") as listener:
        execute(spec, folder, listener)


def _written(field: _Field, command: str) -> Comparison:
    """The comparison over the seeds that are complete, after writing it."""
    done: dict[str, list[Done]] = {arm.name: [] for arm in field.plan.arms}
    done[CONTROL] = []
    seeds = field.complete()
    for seed in seeds:
        control = field.control(seed)
        assert control is not None
        for job in (*field.arms(seed), control):
            done[job.arm].append(Done(seed, job.folder.relative_to(field.folder), field.folder))
    _refuse_other_places([field.folder / one.path for many in done.values() for one in many])
    found = standings(field.plan, seeds, done, command)
    write_atomic(field.folder / FILE, found.model_dump_json(indent=1).encode() + b"\n")
    return found


def _alone(folder: Path) -> AbstractContextManager[object]:
    lock = FileLock(folder / "lock", timeout=0)
    try:
        return lock.acquire()
    except Timeout:
        raise Busy(f"comparison {folder} is under way", remedy="wait for it, or stop it") from None


def _refuse_other_code(plan: Plan, folder: Path) -> None:
    """Mismatch if a run that is there was made by other code than would make it now."""
    changed = []
    for arm in plan.arms:
        now: dict[str, object] = {
            "recipe code": load_recipe(arm.recipe).fingerprint,
            "sharpen code": code_fingerprint(),
            "versions": versions(),
        }
        for seed in plan.seeds:
            job = _job(plan, folder, arm.name, seed)
            old = read_manifest(job.folder)
            if old is not None:
                changed += [f"{job.folder.name}: {what}" for what in _changed(old, job.spec, now)]
    if changed:
        raise Mismatch(
            f"runs of this comparison were made with something else: {'; '.join(changed)}",
            remedy="undo the change, or use another --out",
        )


def _changed(old: Manifest, spec: RunSpec, now: dict[str, object]) -> list[str]:
    found = [name for name, value in now.items() if old.identity[name] != value]
    return found + (["request"] if old.spec != spec else [])


def _refuse_other_places(folders: Sequence[Path]) -> None:
    """Mismatch unless all runs had the same tasks, verifier, model and prompt."""
    manifests = [read_manifest(folder) for folder in folders]
    for name in _PLACE:
        by_value = {
            repr(manifest.identity[name]): folder
            for manifest, folder in zip(manifests, folders, strict=True)
            if manifest is not None
        }
        if len(by_value) > 1:
            one, other, *_ = by_value.values()
            raise Mismatch(
                f"{one.name} and {other.name} differ in their {name}",
                remedy="what was changed in between cannot be compared; use another --out",
            )
