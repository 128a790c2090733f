"""A run of the toy world with a manifest, a search tree and a warning, for tests of what reads runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from helpers_run import START, ToyActor, engine, loop, task_set
from sharpen.core.attempt import Attempt, Author, Stop, Turn
from sharpen.core.budget import Purpose
from sharpen.core.engine import Done
from sharpen.core.policy import Decoding, Job, Policy
from sharpen.core.run import Run, Scope
from sharpen.experiment.manifest import KEY, Manifest
from sharpen.experiment.spec import RunSpec
from sharpen.search.trees import Tree, TreeNode, Trees

Say = Callable[[str], str]
"""What a model says in the place of a text."""


class Talker(ToyActor):
    """The toy actor with a prompt before each answer, and wrong answers in other words."""

    say: Say = staticmethod(str)

    def act(self, policy: Policy, jobs: Sequence[Job], decoding: Decoding) -> list[Attempt]:
        return [
            self._worded(attempt, job)
            for attempt, job in zip(super().act(policy, jobs, decoding), jobs, strict=True)
        ]

    def _worded(self, attempt: Attempt, job: Job) -> Attempt:
        said = attempt.turns[0]
        asked = Turn(author=Author.TEMPLATE, text=self.say(job.task.question))
        right = said.text == job.task.answer
        return attempt.model_copy(
            update={
                "turns": (asked, said if right else said.model_copy(update={"text": self.say(said.text)}))
            }
        )


def node(parent: int | None, text: str, children: tuple[int, ...] = (), *, ended: bool = False) -> TreeNode:
    turn = Turn(author=Author.POLICY, text=text)
    return TreeNode(
        parent=parent, kept=0, turns=(turn,), stop=Stop.END, ended=ended, prior=0.5, value=1.0 * ended, q=0.5,
        visits=3, children=children,
    )  # fmt: skip


def toy_trees(say: Say) -> Callable[[Scope], Trees]:
    def grow(scope: Scope) -> Trees:
        nodes = (node(None, "", (1, 2)), node(0, say("left")), node(0, say("right"), ended=True))
        tree = Tree(
            task=say("task"), policy=START.version, temperature=1.0, round=1, nodes=nodes, walk=(0, 2)
        )
        return Trees(items=(tree,))

    return grow


def toy_run(folder: Path, *, say: Say = str, rounds: int = 2) -> Path:
    """An unfinished run in `folder`; `say` has the last word on everything that a model writes."""
    started = engine(folder)
    actor = Talker(started.store)
    actor.say = say  # type: ignore[method-assign]
    started.actor = actor
    spec = RunSpec(recipe="toy", task=say("toy task"), model="toy")
    manifest = Manifest(spec=spec, identity={"config": {"iterations": rounds, "note": say("a setting")}})
    started.step(KEY, "manifest", manifest.identity, Manifest, Purpose.EVALUATION, lambda: Done(manifest))
    run = Run(started)
    loop(run, task_set(), START, rounds)
    run.search(toy_trees(say))
    run.warn(say("mind the gap"))
    started.journal.close()
    return folder
