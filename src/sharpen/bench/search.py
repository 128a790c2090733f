"""Search: trees that grow together, one batch of expansions a round, beside the same trees one by one."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharpen.actors.base import Cast, Stage
from sharpen.bench.rows import Row, alternate, row_of
from sharpen.core.artifact import ArtifactStore
from sharpen.core.engine import Engine
from sharpen.core.errors import SharpenError
from sharpen.core.journal import Entry, Journal, Wall
from sharpen.core.policy import Policy
from sharpen.core.run import Run
from sharpen.core.task import Task
from sharpen.core.updater import Stopwatch
from sharpen.core.verdict import Scored
from sharpen.search.lockstep import Mcts
from sharpen.search.steps import Steps, search_steps
from sharpen.search.trees import Tree, Trees
from sharpen.search.values import Values
from sharpen.tasks.source import load_tasks

if TYPE_CHECKING:
    from sharpen.models.hf import HFModel

STEPS = Steps(temperature=1.5, depth=6, step_tokens=16, last_tokens=40, values=Values(likelihood=0.2))
"""Warm enough for trees that branch."""
TREES = 16


class Quiet:
    """A listener that says nothing."""

    def progress(self, step: str, done: float, total: float, note: str) -> None:
        """Nothing."""

    def finished(self, entry: Entry, wall: Wall, result: object, *, replayed: bool) -> None:
        """Nothing."""


class Ending:
    """A verifier that costs nothing."""

    fingerprint = "ending"

    def judge(self, pairs: Any, read: Any) -> list[Any]:
        """Right is what ends in the task's answer."""
        return [Scored(value=float(attempt.response.endswith(task.answer))) for task, attempt in pairs]


def run(model: HFModel, *, quick: bool) -> list[Row]:
    """Nodes per second both ways. SharpenError if the trees are not the same."""
    trees, simulations, repeats = (4, 2, 1) if quick else (TREES, 8, 3)
    tasks = load_tasks("chain?level=4", train=trees, val=1, test=1, seed=1).train
    how = Mcts(simulations=simulations)
    searched(model, tasks[:2], how, 2)
    shapes: list[list[list[tuple[int | None, str, int]]]] = []

    def nodes_a_second(batch: int) -> float:
        found, seconds = searched(model, tasks, how, batch)
        shapes.append([shape(tree) for tree in found.items])
        return sum(len(tree.nodes) for tree in found.items) / seconds

    own, single = alternate([lambda: nodes_a_second(trees), lambda: nodes_a_second(1)], repeats)
    if any(found != shapes[0] for found in shapes):
        raise SharpenError("trees that grow together differ from trees alone", remedy="please report this")
    nodes = sum(map(len, shapes[0]))
    case = f"{model.name}: {trees} trees at once"
    return [row_of(case, "nodes/s", own, single, "one at a time", note=f"the same {nodes} nodes")]


def searched(model: HFModel, tasks: Sequence[Task], how: Mcts, batch: int) -> tuple[Trees, float]:
    """The trees, and the seconds they took, journal and all."""
    with tempfile.TemporaryDirectory() as folder:
        store = ArtifactStore(Path(folder) / "store")
        journal = Journal(Path(folder))
        engine = Engine(
            recipe="bench",
            seed=1,
            journal=journal,
            store=store,
            actor=Cast(Stage({"model": model}, store, Stopwatch())),
            verifier=Ending(),
            models={"model": model},
            folder=Path(folder),
            listener=Quiet(),
        )
        policy = Policy(model="model", base=model.fingerprint)
        began = time.perf_counter()
        try:
            trees = Run(engine).search(search_steps, policy, tasks, STEPS, how, batch=batch)
        finally:
            journal.close()
        return trees, time.perf_counter() - began


def shape(tree: Tree) -> list[tuple[int | None, str, int]]:
    """Everything but probabilities, whose last digits depend on the batch."""
    return [(node.parent, node.text, node.visits) for node in tree.nodes]
