"""A toy world for testing the loop: policies whose skill is a number in their memory artifact."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from sharpen.core.ahead import Read
from sharpen.core.artifact import Artifact, ArtifactStore, Kind
from sharpen.core.attempt import Attempt, Author, Turn
from sharpen.core.budget import Budget, Usage
from sharpen.core.engine import Engine
from sharpen.core.gate import GateMode, GateRule
from sharpen.core.journal import Entry, Journal, Wall, read_rows
from sharpen.core.policy import Decoding, Job, Policy
from sharpen.core.run import Run, Scope
from sharpen.core.seeds import random_for
from sharpen.core.task import Task, TaskSet
from sharpen.core.updater import Updated, Workbench
from sharpen.core.verdict import Scored, Verdict


class Killed(BaseException):
    """Stands for SIGKILL inside one process."""


class KillAfter:
    """A listener that ends the process after so many new rows."""

    def __init__(self, rows: int | None = None) -> None:
        self.rows = rows
        self.new = 0

    def progress(self, step: str, done: float, total: float, note: str) -> None:
        pass

    def finished(self, entry: Entry, wall: Wall, result: object, *, replayed: bool) -> None:
        self.new += not replayed
        if self.rows is not None and self.new >= self.rows and not replayed:
            raise Killed


def task(number: int) -> Task:
    return Task.ask(f"{number}+1?", str(number + 1))


def task_set(train: int = 12, val: int = 8, test: int = 8) -> TaskSet:
    all_tasks = [task(n) for n in range(train + val + test)]
    return TaskSet(
        "toy",
        train=all_tasks[:train],
        val=all_tasks[train : train + val],
        test=all_tasks[train + val :],
        verifier="exact",
    )


def skill(policy: Policy, store: ArtifactStore) -> float:
    memory = policy.parts.get(Kind.MEMORY)
    return json.loads(store.get(memory.files["skill.json"])) if memory else 0.3


class ToyActor:
    """Answers right with the probability of its skill; counts its calls."""

    def __init__(self, store: ArtifactStore) -> None:
        self.store = store
        self.jobs = 0

    def act(self, policy: Policy, jobs: Sequence[Job], decoding: Decoding) -> list[Attempt]:
        self.jobs += len(jobs)
        level = skill(policy, self.store)
        return [self._attempt(policy, job, level) for job in jobs]

    def _attempt(self, policy: Policy, job: Job, level: float) -> Attempt:
        right = random_for(job.seed).random() < level
        text = job.task.answer if right else "no idea"
        turn = Turn(author=Author.POLICY, text=text, token_ids=(1, 2, 3), logprobs=(-0.5, -0.5, -0.5))
        return Attempt(
            task=job.task.key, index=job.index, policy=policy.version, turns=(turn,), round=job.round
        )


class ToyVerifier:
    fingerprint = "toy"

    def judge(self, pairs: Sequence[tuple[Task, Attempt]], read: Read) -> list[Verdict]:
        return [Scored(value=float(attempt.response == task.answer)) for task, attempt in pairs]


class Practice:
    """Raises the skill by a tenth for every five right attempts."""

    fingerprint = "practice"

    def update(self, work: Workbench, policy: Policy, batch: tuple[Attempt, ...]) -> Updated:
        level = min(1.0, skill(policy, work.store) + len(batch) / 50)
        sha = work.store.put(json.dumps(level).encode())
        memory = Artifact(kind=Kind.MEMORY, files={"skill.json": sha}, parents=(policy.version,))
        return Updated(policy=policy.with_part(memory), usage=Usage(trained_tokens=3 * len(batch)))


def right_ones(attempts: tuple[Attempt, ...], verdicts: tuple[Verdict, ...]) -> tuple[Attempt, ...]:
    return tuple(a for a, v in zip(attempts, verdicts, strict=True) if isinstance(v, Scored) and v.value == 1)


def choose_samples(probe: Scope, policy: Policy, tasks: Sequence[Task]) -> int:
    attempts = probe.attempt(policy, tasks[:2], samples=2)
    return 2 + sum(isinstance(v, Scored) and v.value > 0 for v in probe.judge(attempts, tasks)) % 2


def loop(run: Run, tasks: TaskSet, policy: Policy, rounds: int = 3) -> Policy:
    for it in run.iterations(rounds):
        samples = it.configure(choose_samples, policy, tasks.train)
        attempts = it.attempt(policy, tasks.train, samples=samples)
        verdicts = it.judge(attempts, tasks.train)
        kept = it.curate(right_ones, attempts, verdicts)
        policy = it.gate(it.update(Practice(), policy, kept), incumbent=policy, tasks=tasks.val)
    return policy


START = Policy(model="toy", base="toy-weights")


def engine(
    folder: Path,
    listener: KillAfter | None = None,
    *,
    seed: int = 0,
    budget: Budget | None = None,
    gate: GateMode = GateMode.OBSERVE,
    repair: bool = False,
) -> Engine:
    store = ArtifactStore(folder / "store")
    return Engine(
        recipe="toy",
        seed=seed,
        journal=Journal(folder),
        store=store,
        actor=ToyActor(store),
        verifier=ToyVerifier(),
        models={},
        folder=folder,
        listener=listener or KillAfter(),
        gate=GateRule(mode=gate),
        budget=budget or Budget(),
        chunk_rows=8,
        repair=repair,
    )


def contents(folder: Path) -> tuple[list[tuple[str, str]], dict[str, bytes]]:
    """What must be equal in equal runs: rows with their hashes, and every stored file they name."""
    rows = [(row.entry.model_dump_json(), row.hash) for row in read_rows(folder)]
    wanted = {sha for row in read_rows(folder) for sha in (row.entry.blob, *row.entry.files)}
    return rows, {sha: (folder / "store" / sha[:2] / sha).read_bytes() for sha in sorted(wanted)}
