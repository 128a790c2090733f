"""Runs to look at: a toy world whose policy writes whatever could harm a page, and search trees."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from helpers_run import START, ToyActor, engine, loop, task_set
from sharpen.core.attempt import Attempt, Author, Stop, Turn
from sharpen.core.budget import Budget, Purpose
from sharpen.core.engine import Done, Engine
from sharpen.core.policy import Decoding, Job, Policy
from sharpen.core.run import Run, Scope
from sharpen.core.task import TaskSet
from sharpen.experiment.manifest import KEY, Manifest
from sharpen.experiment.spec import RunSpec
from sharpen.search.trees import Tree, TreeNode, Trees

HOSTILE = (
    "<script>document.title='harmed'</script><img src=x onerror=\"document.title='harmed'\">"
    " \x1b[31mred\x1b[0m \u202egnp.exe \x00\x07 [link](javascript:alert(1)) "
)
LONG = HOSTILE + "x" * 1_000_000


class HostileActor(ToyActor):
    """A toy policy whose wrong answers are an attack, the first of them a line of a megabyte."""

    def act(self, policy: Policy, jobs: Sequence[Job], decoding: Decoding) -> list[Attempt]:
        return [
            self._harm(job, attempt)
            for job, attempt in zip(jobs, super().act(policy, jobs, decoding), strict=True)
        ]

    def _harm(self, job: Job, attempt: Attempt) -> Attempt:
        (turn,) = attempt.turns
        asked = Turn(author=Author.TEMPLATE, text=f"Q: {job.task.question}\nA:")
        text = turn.text if turn.text == job.task.answer else LONG if job.index == 0 else HOSTILE
        logprobs = (-0.01, -0.7, -6.0)
        return attempt.model_copy(
            update={"turns": (asked, turn.model_copy(update={"text": text, "logprobs": logprobs}))}
        )


def grow(scope: Scope, policy: Policy, tasks: TaskSet) -> Trees:
    """Two trees: a chain with two ends, and a wide one."""
    return Trees(
        items=(
            _tree(tasks.train[0].key, [None, 0, 0, 1, 1], policy),
            _tree(tasks.train[1].key, [None, *[0] * 40], policy),
        )
    )


def _tree(task: str, parents: Sequence[int | None], policy: Policy) -> Tree:
    children = [tuple(n for n, p in enumerate(parents) if p == number) for number in range(len(parents))]
    nodes = tuple(
        TreeNode(
            parent=parent,
            kept=0,
            turns=(Turn(author=Author.POLICY, text=f"step {number} {HOSTILE}"),),
            stop=Stop.END,
            ended=not children[number],
            prior=0.5,
            value=1 / (number + 1),
            q=0.25,
            visits=len(parents) - number,
            children=children[number],
        )
        for number, parent in enumerate(parents)
    )
    return Tree(task=task, policy=policy.version, temperature=1.0, round=1, nodes=nodes, walk=(0, 1))


def manifest(name: str, **settings: int) -> Manifest:
    spec = RunSpec(
        recipe=name, model="scripted:echo", task="toy", settings=settings, budget=Budget(sampled_tokens=5000)
    )
    return Manifest(spec=spec, identity={"recipe": name, "verifier": "toy"})


def hostile_run(folder: Path, *, rounds: int = 3, seed: int = 0) -> Engine:
    """A finished loop, without a result; the journal is closed."""
    made = engine(folder, seed=seed)
    made.actor = HostileActor(made.store)
    tasks, run, about = task_set(), Run(made), manifest("toy", rounds=rounds)
    made.step(KEY, "manifest", about.identity, Manifest, Purpose.EVALUATION, lambda: Done(about))
    run.search(grow, START, tasks)
    run.warn(f"beware of {HOSTILE}")
    loop(run, tasks, START, rounds)
    made.journal.close()
    return made
