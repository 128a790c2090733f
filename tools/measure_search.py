"""Measure what growing trees together is worth: nodes per second of a search, T trees at once and one by one.

    python tools/measure_search.py                  # 16 trees of steps on `tiny`, one thread

Both searches give the same trees; that is checked. Only the CPU time of this process is compared, which other
processes on the machine hardly touch.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from sharpen.actors.base import Cast, Stage
from sharpen.core.artifact import ArtifactStore
from sharpen.core.engine import Engine
from sharpen.core.journal import Entry, Journal, Wall
from sharpen.core.policy import Policy
from sharpen.core.run import Run
from sharpen.core.task import Task
from sharpen.core.updater import Stopwatch
from sharpen.core.verdict import Scored
from sharpen.models.source import open_model
from sharpen.search.lockstep import Mcts
from sharpen.search.steps import Steps, search_steps
from sharpen.search.trees import Tree, Trees
from sharpen.search.values import Values
from sharpen.tasks.source import load_tasks

STEPS = Steps(temperature=1.5, depth=6, step_tokens=16, last_tokens=40, values=Values(likelihood=0.2))
"""Warm enough for trees that branch."""


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


def searched(model: Any, tasks: tuple[Task, ...], how: Mcts, batch: int) -> tuple[Trees, float]:
    """The trees, and the CPU seconds they took, journal and all."""
    with tempfile.TemporaryDirectory() as folder:
        store = ArtifactStore(Path(folder) / "store")
        engine = Engine(
            recipe="measure",
            seed=1,
            journal=Journal(Path(folder)),
            store=store,
            actor=Cast(Stage({"model": model}, store, Stopwatch())),
            verifier=Ending(),
            models={"model": model},
            folder=Path(folder),
            listener=Quiet(),
        )
        policy = Policy(model="model", base=model.fingerprint)
        began = time.process_time()
        trees = Run(engine).search(search_steps, policy, tasks, STEPS, how, batch=batch)
        return trees, time.process_time() - began


def shape(tree: Tree) -> list[tuple[int | None, str, int]]:
    """Everything but probabilities, whose last digits depend on the batch."""
    return [(node.parent, node.text, node.visits) for node in tree.nodes]


def main() -> None:
    """Print nodes per second both ways, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--trees", type=int, default=16)
    parser.add_argument("--simulations", type=int, default=8)
    options = parser.parse_args()
    model = open_model(options.model, threads=1)
    tasks = load_tasks("chain?level=4", train=options.trees, val=1, test=1, seed=1).train
    how = Mcts(simulations=options.simulations)
    searched(model, tasks[:2], how, 2)
    rates = []
    found = []
    for batch in (options.trees, 1):
        trees, seconds = searched(model, tasks, how, batch)
        nodes = sum(len(tree.nodes) for tree in trees.items)
        rates.append(nodes / seconds)
        found.append([shape(tree) for tree in trees.items])
        print(f"{batch} at a time: {nodes} nodes in {seconds:.2f} s, {rates[-1]:.0f} a second")
    same = "the same" if found[0] == found[1] else "DIFFERENT"
    print(f"ratio {rates[0] / rates[1]:.1f}; the trees are {same}")


if __name__ == "__main__":
    main()
