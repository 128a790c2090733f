"""Shows what a Ray cluster of several nodes on this machine does to a run: it changes nothing but the time.

    python tools/measure_cluster.py kill                a node dies and the driver is killed -9; same journal?
    python tools/measure_cluster.py kill --engines 2    the same, and attempts are made there, too
    python tools/measure_cluster.py kill --engines 2 --recipe mcts_dpo
    python tools/measure_cluster.py speed               judge-bound work with one worker and with two
    python tools/measure_cluster.py attempts            attempts of the shipped model, one engine and two

Needs `pip install 'sharpen[ray]'`.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ray.cluster_utils import Cluster

from sharpen.actors.base import Cast, Stage
from sharpen.core.acting import Chunk, making
from sharpen.core.artifact import ArtifactStore
from sharpen.core.journal import head_of, read_rows
from sharpen.core.policy import Actor, Decoding, Job, Policy
from sharpen.core.task import Task
from sharpen.core.updater import Stopwatch
from sharpen.executors.ray_pool import RayPool
from sharpen.executors.source import open_pool
from sharpen.experiment.assemble import POLICY_MODEL
from sharpen.experiment.engines import led, open_engines
from sharpen.experiment.spec import Request
from sharpen.models.source import open_model
from sharpen.tasks.source import load_tasks
from sharpen.verifiers.source import open_verifier

WORK = {
    "star": [
        *("--task", "chain?level=1", "--verifier", "math", "--threads", "1", "--max-tokens", "24"),
        *("--train", "16", "--val", "4", "--test", "8", "--control-samples", "2", "--chunk-rows", "8"),
        *("--iterations", "2", "--samples", "1"),
    ],
    "mcts_dpo": [
        *("--train", "16", "--val", "4", "--test", "8", "--control-samples", "2", "--chunk-rows", "8"),
        *("--iterations", "2", "--prompts", "8", "--k", "4", "--depth", "3", "--threads", "1"),
    ],
}
NODE = {"num_cpus": 1, "object_store_memory": 100 << 20}
ENGINE_NODE = {**NODE, "num_cpus": 2}
ROWS = 64


def new_cluster(workers: int, node: Mapping[str, int] = NODE) -> Cluster:
    """A head that does no work, and so many nodes."""
    cluster = Cluster(
        initialize_head=True, head_node_args={**NODE, "num_cpus": 0, "include_dashboard": False}
    )
    for _ in range(workers):
        cluster.add_node(**node)
    cluster.wait_for_nodes()
    return cluster


def started(recipe: str, out: Path, *more: str) -> subprocess.Popen[bytes]:
    """The run, in a process of its own."""
    command = [sys.executable, "-c", "from sharpen.cli import main; main()", "run", recipe, *WORK[recipe]]
    return subprocess.Popen([*command, "--out", str(out), *more], stdout=subprocess.DEVNULL)


def rows(folder: Path) -> int:
    """Rows that are in the journal by now."""
    return len(list(read_rows(folder))) if (folder / "journal.sqlite").is_file() else 0


def until(folder: Path, wanted: int, driver: subprocess.Popen[bytes]) -> None:
    """Wait until the journal has so many rows, or the driver has ended."""
    while rows(folder) < wanted and driver.poll() is None:
        time.sleep(0.02)


def kill(folder: Path, recipe: str, engines: int) -> None:
    """A run on a cluster that loses a node and its driver, against one of a single process."""
    assert started(recipe, folder / "local").wait() == 0
    total = rows(folder / "local")
    node = ENGINE_NODE if engines else NODE
    cluster = new_cluster(2, node)
    nodes, out = list(cluster.worker_nodes), folder / "ray"
    executor = ("--executor", f"ray:{cluster.address}?engines={engines}")
    driver = started(recipe, out, *executor)
    until(out, total // 4, driver)
    cluster.remove_node(nodes[0], allow_graceful=False)
    print(f"killed a node after row {rows(out)} of {total}", flush=True)
    until(out, total // 2, driver)
    assert driver.poll() is None, "the run was to be killed on its way"
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    print(f"killed the driver after row {rows(out)} of {total}", flush=True)
    cluster.add_node(**node)
    assert started(recipe, out, *executor).wait() == 0
    cluster.shutdown()
    same = head_of(out) == head_of(folder / "local") and rows(out) == total
    print(f"journal of {rows(out)} rows: {'the same' if same else 'DIFFERS'}")
    sys.exit(not same)


def speed(items: int) -> None:
    """Seconds for the same judging with one worker and with two."""
    tasks = [Task.ask("?", rf"\frac{{{n + 1}}}{{{n + 7}}}+\sqrt{{{n + 2}}}") for n in range(items)]
    pairs = [
        (task, rf"\boxed{{\sqrt{{{n + 2}}}+\frac{{{n + 1}}}{{{n + 7}}}}}") for n, task in enumerate(tasks)
    ]
    seconds = {}
    for workers in (1, 2):
        cluster = new_cluster(workers)
        with RayPool(cluster.address) as pool:
            verifier = open_verifier("math", pool=pool)
            verifier.judge_texts(pairs[: 32 * workers])
            start = time.perf_counter()
            verifier.judge_texts(pairs)
            seconds[workers] = time.perf_counter() - start
        cluster.shutdown()
        print(f"{workers} worker{'s' * (workers > 1)}: {items / seconds[workers]:.0f} verdicts/s", flush=True)
    print(f"throughput with two workers: {seconds[1] / seconds[2]:.2f} times that of one")


def attempts(items: int) -> None:
    """Seconds for the same attempts by one engine of one thread and by two."""
    tasks = load_tasks("chain?level=3", seed=0, train=items, val=1, test=1).train
    jobs = [Job(task, index, 8 * n + index) for n, task in enumerate(tasks) for index in range(8)]
    chunks = [Chunk(str(start), jobs[start : start + ROWS]) for start in range(0, len(jobs), ROWS)]
    seconds = {}
    for engines in (1, 2):
        cluster = new_cluster(engines, ENGINE_NODE)
        request = Request(threads=1, executor=f"ray:{cluster.address}?engines={engines}")
        with open_pool(request.executor) as pool, tempfile.TemporaryDirectory() as folder:
            model = open_model("tiny", threads=1)
            hands = open_engines(request, pool, model)
            actor = led(Cast(Stage({POLICY_MODEL: model}, ArtifactStore(Path(folder)), Stopwatch())), hands)
            policy = Policy(model=POLICY_MODEL, base=model.fingerprint)
            how = Decoding(max_tokens=96)
            made(actor, policy, how, chunks[: 2 * engines])
            start = time.perf_counter()
            tokens = made(actor, policy, how, chunks)
            seconds[engines] = time.perf_counter() - start
        cluster.shutdown()
        print(f"{engines} engine{'s' * (engines > 1)}: {tokens / seconds[engines]:.0f} tokens/s", flush=True)
    print(f"throughput of two engines: {seconds[1] / seconds[2]:.2f} times that of one")


def made(actor: Actor, policy: Policy, how: Decoding, chunks: Sequence[Chunk]) -> int:
    """Tokens of the attempts of these chunks."""
    makings = making(actor, policy, how, chunks, lambda key: False)
    return sum(attempt.token_count for one in makings for attempt in one.attempts())


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["kill", "speed", "attempts"])
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--engines", type=int, default=0, help="make attempts on so many engines")
    parser.add_argument("--recipe", choices=list(WORK), default="star")
    parser.add_argument("--folder", type=Path, help="where the runs are kept; the local one is made once")
    asked = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if asked.what == "speed":
        speed(asked.items)
    elif asked.what == "attempts":
        attempts(asked.items // 10)
    else:
        with tempfile.TemporaryDirectory() as folder:
            kill(asked.folder or Path(folder), asked.recipe, asked.engines)


if __name__ == "__main__":
    main()
